"""Every number that the command line takes has a least and a most, and NaN is between none."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args, get_type_hints

import pytest
import typer

from composir.cli.main import VERBS
from tests.e2e.commands import composir


def _numbers(app: typer.Typer, name: str) -> Iterator[tuple[str, Any, set[type]]]:
    """Options that take numbers, with their types, of a verb's functions."""
    for command in app.registered_commands:
        assert command.callback is not None
        hints = get_type_hints(command.callback, include_extras=True)
        for parameter, hint in hints.items():
            option = next((m for m in getattr(hint, "__metadata__", ()) if hasattr(m, "min")), None)
            kinds = {*get_args(get_args(hint)[0])} or {get_args(hint)[0]} if option else set()
            if kinds & {int, float}:
                yield f"{name} {command.callback.__name__} {parameter}", option, kinds


NUMBERS = {
    name: (option, kinds)
    for verb, place in VERBS.items()
    for name, option, kinds in _numbers(import_module(place.module).app, verb)
}


def test_there_are_numbers() -> None:
    known = {"index index threads", "search search count", "bench run_command resamples"}
    assert known | {"triplets make margin", "triplets make price_in"} <= {*NUMBERS}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_bounds(name: str) -> None:
    option, kinds = NUMBERS[name]
    assert option.min is not None
    assert option.max is not None
    assert float not in kinds or option.callback is not None


@pytest.mark.parametrize(
    "line",
    [
        ("index", "--threads", "1000000"),
        ("index", "--batch-size", "1000000000"),
        ("search", "a", "-k", "1000000000"),
        ("bench", "run", "x", "--resamples", "1000000000"),
        ("triplets", "edit", ".", "--count", "1000000000"),
        ("triplets", "make", "--margin", "nan"),
        ("triplets", "make", "--timeout", "inf"),
        ("triplets", "make", "--price-in", "nan"),
    ],
)
def test_commands_say_what_is_out_of_range(line: tuple[str, ...]) -> None:
    result = composir(*line)
    assert result.exit_code == 2
    assert "Invalid value" in result.output


@pytest.mark.parametrize("setting", ["alpha", "negative_weight"])
@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "nan", "1e999", "-1e300", "x" * 400])
def test_settings_of_composers(setting: str, value: str) -> None:
    result = composir("search", "red", "--composer", f"sum:{setting}={value}", "--gallery", "none")
    assert result.exit_code == 2
    assert "Traceback" not in result.output
