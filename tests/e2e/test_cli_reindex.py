"""`composir reindex`, as people run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from composir.cli import models
from tests.e2e.commands import composir, paint, paint_all
from tests.e2e.test_cli_beside import best, resolve


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "resolve_model", resolve)
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    paint_all(Path("pictures"))
    assert composir("index", "pictures").exit_code == 0


def done(*words: str) -> dict[str, Any]:
    result = composir("reindex", *words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_model_is_tried_taken_and_given_back() -> None:
    prepared = done("--model", "turned")
    Path("queries.txt").write_text("red\nblue\n")
    compared = done("--compare", "queries.txt")
    assert best() == "red"
    switched = done("--switch")
    assert best() == "green"
    back = done("--rollback")
    assert best() == "red"
    left = done("--discard")

    assert (prepared["current"]["name"], prepared["prepared"]["images"]) == ("colours", 8)
    assert (compared["own"], compared["other"]) == ("colours", "turned")
    first = [Path(compared["queries"][0][who]["hits"][0]["path"]).stem for who in ("own", "other")]
    assert first == ["red", "green"]
    assert (switched["current"]["name"], switched["former"]["bundle"]["name"]) == (
        "turned",
        "colours",
    )
    assert back["former"]["bundle"]["name"] == "turned"
    assert (left["prepared"], left["former"]) == (None, None)


def test_people_are_told_what_is_next() -> None:
    assert "no other model's vectors are kept" in composir("reindex").stdout
    assert "prepared: turned, 8 pictures; " in composir("reindex", "--model", "turned").stdout
    paint(Path("pictures", "wide.png"), "red", (90, 30))
    composir("index", "pictures")
    assert "8 pictures, 1 came later" in composir("reindex").stdout
    told = composir("reindex", "--sample").stdout
    assert "first hits in common on average" in told
    assert "  turned   " in told
    told = composir("reindex", "--switch").stdout
    assert "is the model turned's" in told
    assert "former: colours, 9 pictures; " in told
    assert "--rollback" in told


def test_one_step_at_a_time() -> None:
    result = composir("reindex", "--switch", "--rollback")
    assert result.exit_code == 2
    assert "one step at a time" in result.stderr


def test_nothing_to_switch_or_go_back_to() -> None:
    for step in ("--switch", "--rollback", "--sample"):
        result = composir("reindex", step)
        assert result.exit_code == 2
        assert "model" in result.stderr
    assert best() == "red"
