"""Edits of one thing of known region: what the words name changes, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from composir.errors import DatasetError
from composir.triplets.edited import EditSettings, make_edited
from composir.triplets.edits import COLOURS
from composir.triplets.region_edits import Regions, edit_region

SIZE, BOX = 120, (40, 40, 79, 79)
ROW = {"mask": "mask.png", "regions": {"sofa": {"value": 7}, "skin": {"value": 9}}}


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Image.Image, Regions]:
    rgb = Image.new("RGB", (SIZE, SIZE), (90, 160, 90))
    ImageDraw.Draw(rgb).rectangle(BOX, fill=(180, 60, 60))
    mask = Image.new("L", (SIZE, SIZE), 9)
    ImageDraw.Draw(mask).rectangle(BOX, fill=7)
    mask.save(tmp_path / "mask.png")
    regions = Regions.of_row(tmp_path, ROW)
    assert regions is not None
    return rgb, regions


def test_the_region_changes_as_the_words_say_and_the_rest_stays(
    scene: tuple[Image.Image, Regions],
) -> None:
    seen = set()
    for seed in range(40):
        edited = edit_region(*scene, np.random.default_rng(seed))
        assert edited is not None
        kind, _, name = edited.name.partition("/")
        seen.add(kind)
        pixels = np.asarray(edited.picture, dtype=float)
        assert "sofa" in edited.words
        assert "skin" not in edited.words
        assert np.array_equal(pixels[5, 5], [90, 160, 90])
        if kind == "region recolour":
            assert name in edited.words
            assert np.abs(pixels[60, 60] - COLOURS[name]).max() < 40
        if kind == "removed":
            assert np.abs(pixels[60, 60] - [90, 160, 90]).max() < 25
    assert seen == {"region recolour", "region pattern", "removed"}


def test_a_thing_that_is_tiny_or_all_there_is_is_not_edited(tmp_path: Path) -> None:
    Image.new("L", (SIZE, SIZE), 7).save(tmp_path / "mask.png")
    regions = Regions.of_row(tmp_path, ROW)
    assert regions is not None
    picture = Image.new("RGB", (SIZE, SIZE), "red")
    assert edit_region(picture, regions, np.random.default_rng(0)) is None


def test_rows_say_what_regions_there_are(tmp_path: Path) -> None:
    assert Regions.of_row(tmp_path, {"file": "a.jpg"}) is None
    with pytest.raises(DatasetError, match="without a value"):
        Regions.of_row(tmp_path, {**ROW, "regions": {"sofa": {}}})


def test_a_mask_that_cannot_be_read_is_told(
    tmp_path: Path, scene: tuple[Image.Image, Regions]
) -> None:
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in pictures:
        scene[0].save(path)
    lost = Regions(tmp_path / "gone.png", {"sofa": 7})
    regions = {pictures[0]: scene[1], pictures[1]: lost}
    made = make_edited(pictures, tmp_path / "out", EditSettings(4), None, regions)
    rows = [
        json.loads(row) for row in (tmp_path / "out" / "queries.jsonl").read_text().splitlines()
    ]
    assert made.triplets == 2
    assert all("sofa" in row["text"] for row in rows if not row["id"].endswith("-back"))
    assert [file for file, _ in made.skipped] == [str(pictures[1])] * len(made.skipped)
