"""Configurations from TOML and --set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from composir.errors import TrainingError
from composir.train.config import Count, File, Files, Rate, Settings, Texts, as_dict, read_config


class Inner(Settings):
    rate: Rate = 0.1
    batch: dict[str, Count] = Field(default_factory=dict)


class Outer(Settings):
    steps: Count = 10
    name: str = "run"
    fast: bool = False
    sources: Texts = ()
    out: File = Path("out")
    more: Files = ()
    inner: Inner = Inner()


def test_without_anything_the_defaults_hold() -> None:
    assert read_config(Outer, None, []) == Outer()


def test_a_file_is_read_and_assignments_go_above_it(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('steps = 3\nname = "a"\nsources = ["x", "y"]\n[inner]\nrate = 1\n')
    config = read_config(Outer, file, ["steps=4", "inner.batch.cats=5", "fast=true", "out=here"])

    assert (config.steps, config.name, config.fast, config.out) == (4, "a", True, Path("here"))
    assert config.sources == ("x", "y")
    assert read_config(Outer, file, ["sources=x"]).sources == ("x",)
    assert config.inner == Inner(rate=1.0, batch={"cats": 5})
    assert isinstance(config.inner.rate, float)


def test_one_entry_of_a_table_leaves_the_others_and_a_table_replaces_it() -> None:
    class Trip(Settings):
        animals: dict[str, Count] = Field(default_factory=lambda: {"cats": 1, "dogs": 2})
        inner: Inner = Inner(batch={"cats": 1})

    one = read_config(Trip, None, ["animals.cats=5", "inner.batch.dogs=7"])
    assert one == Trip(animals={"cats": 5, "dogs": 2}, inner=Inner(batch={"cats": 1, "dogs": 7}))
    whole = read_config(Trip, None, ["animals={cats=5}", "inner={batch={dogs=7}}"])
    assert whole == Trip(animals={"cats": 5}, inner=Inner(batch={"dogs": 7}))
    both = read_config(Trip, None, ["animals={cats=5}", "animals.birds=3"])
    assert both.animals == {"cats": 5, "birds": 3}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stepz=3", "unknown setting stepz; known: fast, inner"),
        ("inner.rat=3", r"unknown setting inner\.rat; known: batch, rate"),
        ("steps=many", 'setting steps: must be a whole number, not "many"'),
        ("steps=true", "setting steps: must be a whole number, not true"),
        ("steps=1.5", r"setting steps: must be a whole number, not 1\.5"),
        ("steps=-1", "setting steps is -1: it must be from 0 to 1,000,000"),
        ("fast=1", "setting fast: must be true or false, not 1"),
        ("name=3", "setting name: must be a text, not 3"),
        ("sources=[3]", r"setting sources\.0: must be a text, not 3"),
        ("inner.rate=true", r"setting inner\.rate: must be a number, not true"),
        ("inner.rate=nan", r"setting inner\.rate is NaN: it must be from 0 to 10"),
        ("inner.batch.cats=x", r"setting inner\.batch\.cats: must be a whole number, not \"x\""),
        ("inner=3", "setting inner: must be an object, not 3"),
        ("steps", "--set steps: write key=value"),
    ],
)
def test_what_does_not_fit_is_named(assignment: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_config(Outer, None, [assignment])


def test_a_key_below_a_plain_value_is_refused() -> None:
    with pytest.raises(TrainingError, match="steps"):
        read_config(Outer, None, ["steps=3", "steps.more=4"])


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="this file is missing"):
        read_config(Outer, tmp_path / "none.toml", [])
    (tmp_path / "broken.toml").write_text("steps = = 3")
    with pytest.raises(TrainingError, match="no valid TOML"):
        read_config(Outer, tmp_path / "broken.toml", [])


def test_a_configuration_becomes_plain_values() -> None:
    assert as_dict(Outer(out=Path("x")))["out"] == "x"
    assert as_dict(Outer())["inner"] == {"rate": 0.1, "batch": {}}


class Choice(Settings):
    axis: Literal["positions", "tokens"] = "positions"


def test_a_choice_takes_its_values_and_names_them_otherwise() -> None:
    assert read_config(Choice, None, ["axis=tokens"]).axis == "tokens"
    said = "setting axis: \"rows\" should be 'positions' or 'tokens'"
    with pytest.raises(TrainingError, match=said):
        read_config(Choice, None, ["axis=rows"])


class Tuned(Settings):
    inner: Inner = Inner(rate=0.5, batch={"cats": 3})


def test_one_setting_of_a_part_leaves_its_other_defaults_alone() -> None:
    assert read_config(Tuned, None, ["inner.rate=0.7"]).inner == Inner(rate=0.7, batch={"cats": 3})


def test_changes_are_checked_like_any_settings() -> None:
    assert Outer().changed(steps=3, out="~").out == Path("~").expanduser()
    with pytest.raises(TrainingError, match="unknown setting stepz; known: fast"):
        Outer().changed(stepz=3)
    with pytest.raises(TrainingError, match=r"setting inner\.rate is 99"):
        Outer().changed(inner={"rate": 99.0})
