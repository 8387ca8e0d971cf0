"""Every numeric setting of every recipe has a range, and nothing beyond it is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest
from settings import MiniConfig

from composir.errors import TrainingError
from composir.train.baselines.text_only import TextMapConfig
from composir.train.composing.config import ComposeConfig
from composir.train.config import read_config
from composir.train.isa.recipe import IsaConfig
from composir.train.mapping.recipe import MapConfig
from composir.train.ranges import REAL, WHOLE

KINDS = (MiniConfig, IsaConfig, MapConfig, ComposeConfig, TextMapConfig)


def _numbers(kind: Any, path: str = "") -> Iterator[tuple[str, type]]:
    """Settings that are numbers, or numbers by name, with their type."""
    for name, hint in get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from _numbers(hint, f"{path}{name}.")
        elif hint in {int, float}:
            yield path + name, hint
        elif get_args(hint) and get_args(hint)[-1] in {int, float}:
            yield f"{path}{name}.cats", get_args(hint)[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_has_a_range(kind: type) -> None:
    assert [*_numbers(kind)]
    for name, number in _numbers(kind):
        key = name.removesuffix(".cats").rpartition(".")[2]
        assert key in (WHOLE if number is int else REAL), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_setting_can_be_is_refused(kind: type) -> None:
    for name, number in _numbers(kind):
        wrong = ["nan", "-inf", "1e300", "-2", "9" * 400]
        for value in [*wrong, *(["0.5"] if number is int else [])]:
            with pytest.raises(TrainingError):
                read_config(kind, None, [f"{name}={value}"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_within_their_ranges(kind: type) -> None:
    for name, number in _numbers(kind):
        path = name.removesuffix(".cats").split(".")
        least, most = (WHOLE if number is int else REAL)[path[-1]]
        value = _default(kind, path)
        for one in value.values() if isinstance(value, dict) else [value]:
            assert least <= one <= most, name


def _default(kind: Any, path: list[str]) -> Any:
    field = {field.name: field for field in dataclasses.fields(kind)}[path[0]]
    made = field.default_factory() if callable(field.default_factory) else field.default
    for name in path[1:]:
        made = getattr(made, name)
    return made


def test_the_message_says_setting_value_and_range() -> None:
    with pytest.raises(
        TrainingError,
        match=r"setting loop\.steps is 999999999999: it must be from 0 to 100,000,000",
    ):
        read_config(MapConfig, None, ["loop.steps=999999999999"])
