"""Every numeric setting of every recipe has a range, and nothing beyond it is taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from settings import MiniConfig

from composir.errors import TrainingError
from composir.train.baselines.text_only import TextMapConfig
from composir.train.composing.compose_config import ComposeConfig
from composir.train.config import Between, Settings, read_config
from composir.train.isa.recipe import IsaConfig
from composir.train.mapping.recipe import MapConfig

KINDS = (MiniConfig, IsaConfig, MapConfig, ComposeConfig, TextMapConfig)
Number = tuple[str, type, list[Between]]


def _numbers(kind: type[Settings], path: str = "") -> Iterator[Number]:
    """Settings that are numbers, or numbers by name: where, their type, their ranges."""
    for name, field in kind.model_fields.items():
        hint: Any = field.annotation
        ranges = [one for one in field.metadata if isinstance(one, Between)]
        if isinstance(hint, type) and issubclass(hint, Settings):
            yield from _numbers(hint, f"{path}{name}.")
        elif hint in {int, float}:
            yield path + name, hint, ranges
        elif isinstance(field.get_default(call_default_factory=True), dict):
            number, *more = get_args(get_args(hint)[-1])
            yield f"{path}{name}.cats", number, [one for one in more if isinstance(one, Between)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_has_a_range(kind: type[Settings]) -> None:
    assert [*_numbers(kind)]
    for name, _, ranges in _numbers(kind):
        assert len(ranges) == 1, name


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_setting_can_be_is_refused(kind: type[Settings]) -> None:
    for name, number, _ in _numbers(kind):
        wrong = ["nan", "-inf", "1e300", "-20", "9" * 400]
        for value in [*wrong, *(["0.5"] if number is int else [])]:
            with pytest.raises(TrainingError, match=rf"{name}|digits"):
                read_config(kind, None, [f"{name}={value}"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_within_their_ranges(kind: type[Settings]) -> None:
    for name, _, ranges in _numbers(kind):
        value = _default(kind, name.removesuffix(".cats").split("."))
        for one in value.values() if isinstance(value, dict) else [value]:
            assert ranges[0].least <= one <= ranges[0].most, name


def _default(kind: type[Settings], path: list[str]) -> Any:
    made = kind.model_fields[path[0]].get_default(call_default_factory=True)
    for name in path[1:]:
        made = getattr(made, name)
    return made


def test_a_temperature_of_zero_means_the_plain_cosine_where_that_is_offered() -> None:
    config = read_config(MapConfig, None, ["objective.steering.temperature=0"])
    assert config.objective.steering.temperature == 0.0
    with pytest.raises(TrainingError, match=r"objective\.temperature is 0"):
        read_config(MapConfig, None, ["objective.temperature=0"])


def test_the_message_says_setting_value_and_range() -> None:
    with pytest.raises(
        TrainingError,
        match=r"setting loop\.steps is 999999999999: it must be from 0 to 100,000,000",
    ):
        read_config(MapConfig, None, ["loop.steps=999999999999"])
