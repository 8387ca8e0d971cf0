"""Colours of regions, and cut-outs of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from regions import colour_name, region_colours, write_regions


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 30, 30), "red"),
        ((30, 30, 200), "blue"),
        ((40, 150, 60), "green"),
        ((240, 200, 40), "yellow"),
        ((240, 130, 20), "orange"),
        ((110, 70, 40), "brown"),
        ((250, 250, 250), "white"),
        ((10, 10, 12), "black"),
        ((128, 128, 130), "grey"),
        ((240, 160, 190), "pink"),
        ((130, 50, 170), "purple"),
        ((225, 205, 175), "beige"),
    ],
)
def test_plain_colours_have_their_names(rgb: tuple[int, int, int], name: str) -> None:
    assert colour_name(*(channel / 255 for channel in rgb)) == name


def test_a_region_of_two_colours_has_none() -> None:
    pixels = np.zeros((10, 10, 3), dtype=np.uint8)
    pixels[:5] = (200, 30, 30)
    pixels[5:, :5] = (30, 30, 200)
    pixels[5:, 5:] = (40, 150, 60)
    labels = np.ones((10, 10), dtype=np.uint8)
    labels[5:] = 2
    regions = {"sofa": {"value": 1, "share": 0.5}, "rug": {"value": 2, "share": 0.5}}

    assert region_colours(pixels, labels, regions) == {"sofa": "red"}


def test_large_regions_become_pictures_of_their_own(tmp_path: Path) -> None:
    scenes = tmp_path / "data" / "ade-scenes"
    (tmp_path / "data" / "clothing-parsing").mkdir(parents=True)
    (tmp_path / "data" / "clothing-parsing" / "gallery.jsonl").write_text("")
    for folder in ("images", "masks"):
        (scenes / folder).mkdir(parents=True)
    pixels = np.full((120, 160, 3), 240, dtype=np.uint8)
    labels = np.zeros((120, 160), dtype=np.uint8)
    pixels[40:110, 30:120], labels[40:110, 30:120] = (30, 30, 200), 7
    Image.fromarray(pixels).save(scenes / "images" / "a.png")
    Image.fromarray(labels).save(scenes / "masks" / "a.png")
    row = {"id": "a", "file": "images/a.png", "mask": "masks/a.png"}
    row["regions"] = {"sofa": {"value": 7, "share": 0.33}}  # type: ignore[assignment]
    (scenes / "gallery.jsonl").write_text(json.dumps(row) + "\n")

    write_regions(tmp_path / "data", tmp_path / "out")

    (whole,) = map(json.loads, (tmp_path / "out/scenes/gallery.jsonl").read_text().splitlines())
    (cut,) = map(json.loads, (tmp_path / "out/regions/gallery.jsonl").read_text().splitlines())
    assert whole["colours"] == {"sofa": "blue"}
    assert (tmp_path / "out" / "scenes" / whole["file"]).is_file()
    assert (cut["class"], cut["colour"], cut["picture"]) == ("sofa", "blue", "a")
    with Image.open(tmp_path / "out" / "regions" / cut["file"]) as picture:
        assert 90 <= picture.width < 160
        assert 70 <= picture.height < 120
