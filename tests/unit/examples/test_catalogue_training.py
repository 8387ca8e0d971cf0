"""Pictures and triplets to train on: exact as the catalogue's, and nothing of the catalogue."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

CATALOGUE = Path(__file__).parents[3] / "examples" / "catalogue"
IDENTITY = ("kind", "shape", "colour", "material", "pattern", "count", "setting")

Row = dict[str, Any]


def _rows(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("training")
    command = [sys.executable, "render.py", "--training", str(made), "--jsonl"]
    subprocess.run(command, cwd=CATALOGUE / "render", check=True)
    return made


@pytest.fixture(scope="module")
def gallery(folder: Path) -> list[Row]:
    return _rows(folder / "gallery.jsonl")


@pytest.fixture(scope="module")
def triplets(folder: Path) -> list[Row]:
    return _rows(folder / "queries.jsonl")


def _what(row: Row, *left_out: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in IDENTITY if name not in left_out)


def test_every_article_is_the_right_one(triplets: list[Row]) -> None:
    texts = [row["text"] for row in triplets]

    assert any(re.search(r"\ban [aeiou]", text) for text in texts)
    assert not [text for text in texts if re.search(r"\ba [aeio]|\ban [^aeiou]", text)]


def test_no_thing_is_one_of_the_catalogue(gallery: list[Row]) -> None:
    taken = {_what(row) for row in _rows(CATALOGUE / "gallery.jsonl")}
    assert len(gallery) > 1000
    assert not taken & {_what(row) for row in gallery}
    assert {row["split"] for row in gallery} == {"train"}


def test_no_text_is_one_of_the_catalogue(triplets: list[Row]) -> None:
    asked = {row["text"] for row in _rows(CATALOGUE / "queries.jsonl")}
    assert len(triplets) > 4000
    assert not asked & {row["text"] for row in triplets}


def test_a_single_change_leads_to_exactly_its_targets(
    gallery: list[Row], triplets: list[Row]
) -> None:
    by_id = {row["id"]: row for row in gallery}
    plain = ("shape", "colour", "pattern", "count", "setting")
    checked = [t for t in triplets if list(t["changes"]) in [[name] for name in plain]]
    assert len(checked) > 1500
    for triplet in checked:
        [(name, value)] = triplet["changes"].items()
        kept = _what(by_id[triplet["reference"]], name)
        right = {r["id"] for r in gallery if r[name] == value and _what(r, name) == kept}
        assert set(triplet["targets"]) == right, triplet["id"]


def test_every_kind_of_change_is_there_and_says_its_value(triplets: list[Row]) -> None:
    types = Counter(triplet["type"] for triplet in triplets)
    for name in ("colour", "material", "pattern", "count", "setting", "shape"):
        assert types[name] >= 300, name
    assert min(types["angle"], types["light"]) >= 50
    assert sum(count for name, count in types.items() if "+" in name) >= 1500
    for triplet in triplets:
        assert str(triplet["changes"].get("colour", "")) in triplet["text"]
        assert "{" not in triplet["text"]


def test_the_catalogue_itself_is_left_alone(folder: Path) -> None:
    assert json.loads((folder / "dataset.json").read_text())["name"] == "catalogue-train"
    assert {path.name for path in folder.iterdir()} == {
        "dataset.json",
        "gallery.jsonl",
        "queries.jsonl",
    }
