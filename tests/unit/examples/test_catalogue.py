"""The sample catalogue: it is what its plan says, and every query's targets are exact."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CATALOGUE = Path(__file__).parents[3] / "examples" / "catalogue"
FILES = ("dataset.json", "gallery.jsonl", "queries.jsonl")
KEPT = ("kind", "shape", "colour", "material", "pattern", "count", "setting")
OWN_COLOUR = {"wood": "brown", "brass": "gold", "copper": "copper", "steel": "silver"}

Row = dict[str, Any]


def _rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (CATALOGUE / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def gallery() -> list[Row]:
    return _rows("gallery.jsonl")


@pytest.fixture(scope="module")
def queries() -> list[Row]:
    return _rows("queries.jsonl")


def _answers(reference: Row, changes: Row, row: Row) -> bool:
    """The target rule as the README states it, written apart from the plan."""
    for name in KEPT:
        wanted = changes.get(name, reference[name])
        if name == "colour" and changes.get("material") in OWN_COLOUR:
            wanted = OWN_COLOUR[changes["material"]]
        if row[name] != wanted:
            return False
    named = [name for name in ("angle", "light") if name in changes]
    return row["id"] != reference["id"] and all(row[name] == changes[name] for name in named)


def test_files_are_what_the_plan_makes_today(tmp_path: Path) -> None:
    script = "import sys, pathlib, plan; plan.write(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=CATALOGUE / "render", check=True
    )
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (CATALOGUE / name).read_bytes(), name


def test_the_catalogue_is_large_enough(gallery: list[Row], queries: list[Row]) -> None:
    assert len(gallery) >= 600
    assert len(queries) >= 1000
    assert len({row["kind"] for row in gallery}) >= 12


def test_ids_are_unique(gallery: list[Row], queries: list[Row]) -> None:
    assert len({row["id"] for row in gallery}) == len(gallery)
    assert len({row["id"] for row in queries}) == len(queries)


def test_no_two_pictures_have_the_same_attributes(gallery: list[Row]) -> None:
    seen = Counter(tuple(row[name] for name in (*KEPT, "angle", "light")) for row in gallery)
    assert max(seen.values()) == 1


def test_every_picture_is_a_jpeg_of_the_right_size(gallery: list[Row]) -> None:
    size = tuple(json.loads((CATALOGUE / "dataset.json").read_text())["image_size"])
    for row in gallery:
        with Image.open(CATALOGUE / row["file"]) as image:
            assert (image.format, image.size) == ("JPEG", size), row["id"]
            low, high = image.convert("L").getextrema()
            assert int(high) - int(low) > 60, f"{row['id']} shows nothing"  # type: ignore[arg-type]


def test_the_folder_holds_exactly_the_planned_pictures(gallery: list[Row]) -> None:
    there = list((CATALOGUE / "images").iterdir())
    assert {f"images/{path.name}" for path in there} == {row["file"] for row in gallery}
    assert sum(path.stat().st_size for path in there) <= 8_000_000


def test_targets_are_exactly_the_pictures_that_answer(
    gallery: list[Row], queries: list[Row]
) -> None:
    by_id = {row["id"]: row for row in gallery}
    for query in queries:
        reference = by_id[query["reference"]]
        right = {row["id"] for row in gallery if _answers(reference, query["changes"], row)}
        assert query["targets"], query["id"]
        assert set(query["targets"]) == right, query["id"]
        assert reference["id"] not in query["targets"]


def test_a_query_changes_something(gallery: list[Row], queries: list[Row]) -> None:
    by_id = {row["id"]: row for row in gallery}
    for query in queries:
        reference = by_id[query["reference"]]
        assert 1 <= len(query["changes"]) <= 2
        assert query["text"].strip()
        assert all(reference[name] != value for name, value in query["changes"].items())


def test_dev_and_test_share_no_family(gallery: list[Row], queries: list[Row]) -> None:
    by_id = {row["id"]: row for row in gallery}
    families = {
        split: {row["family"] for row in gallery if row["split"] == split}
        for split in ("dev", "test")
    }
    assert not families["dev"] & families["test"]
    assert 0.25 < len(families["dev"]) / len(set.union(*families.values())) < 0.4
    for query in queries:
        used = [query["reference"], *query["targets"]]
        assert {by_id[name]["split"] for name in used} == {query["split"]}


def test_types_of_change_are_balanced(queries: list[Row]) -> None:
    types = Counter(query["type"] for query in queries)
    for name in ("colour", "material", "pattern", "count", "setting", "shape"):
        assert types[name] >= 100, name
    assert types["angle"] >= 50
    assert sum(count for name, count in types.items() if "+" in name) >= 200
