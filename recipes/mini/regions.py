"""Pictures with masks to data sets that say what colour their things have.

    python recipes/mini/regions.py --data data/ --out data-regions/

Captions seldom name colours of furniture or garments, and masks do not either; the pixels below a
mask do. `scenes` and `garments` are the pictures of `ade-scenes` and `clothing-parsing` with the
colour of every region that is plainly of one; `regions` are cut-outs of the larger ones, each with
its class and colour. Folders are in the usual format, whole pictures linked.
"""

from __future__ import annotations

import argparse
import colorsys
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MASKED = {"scenes": "ade-scenes", "garments": "clothing-parsing"}
SMALLEST_COLOURED = 0.01
SMALLEST_CUT = {"ade-scenes": 0.04, "clothing-parsing": 0.015}
CUTS = 3
MARGIN = 0.12
SHORTEST_SIDE = 40
PLAIN = 0.6
"""Share of a region's pixels that must have its colour's name."""
COLOURLESS = frozenset(
    {
        *("sky", "person", "skin", "hair", "mirror", "painting", "water"),
        *("sea", "tree", "mountain", "road", "sidewalk", "window", "grass"),
    }
)
NOT_CUT = frozenset({"sky", "wall", "floor", "ceiling", "skin", "hair", "earth", "land", "base"})
NAMES = (
    "black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink",
    "brown", "beige",
)  # fmt: skip
HUES = (
    (40, "orange"),
    (68, "yellow"),
    (170, "green"),
    (255, "blue"),
    (300, "purple"),
    (345, "pink"),
)
"""Degrees of hue up to which a name goes, from 12 on."""


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description="Write data sets with the colours of regions.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set folders")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    for folder in write_regions(asked.data, asked.out):
        print(folder)


def write_regions(data: Path, out: Path) -> list[Path]:
    """Write the three folders.

    Args:
        data: Holds `ade-scenes` and `clothing-parsing`.
        out: Made if missing.
    """
    cut: list[dict[str, Any]] = []
    (out / "regions" / "images").mkdir(parents=True, exist_ok=True)
    for name, source in MASKED.items():
        rows = []
        for line in (data / source / "gallery.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row.get("mask"):
                pixels, labels = _open(data / source / row["file"], data / source / row["mask"])
                row["colours"] = region_colours(pixels, labels, row["regions"])
                cut += _cut(source, row, pixels, labels, out / "regions")
            rows.append(row)
        _write(out / name, name, rows)
        for kind in ("images", "masks"):
            if not (out / name / kind).exists():
                (out / name / kind).symlink_to((data / source / kind).resolve())
    _write(out / "regions", "regions", cut)
    return [out / name for name in (*MASKED, "regions")]


def region_colours(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], regions: Mapping[str, Mapping[str, float]]
) -> dict[str, str]:
    """The colour of each region that is plainly of one.

    Args:
        pixels: (h, w, 3) RGB.
        labels: (h, w), the mask.
        regions: Name of a region to its `value` in the mask and its `share` of the picture.
    """
    names = colour_names(pixels)
    found = {}
    for region, about in regions.items():
        if about["share"] >= SMALLEST_COLOURED and region not in COLOURLESS:
            counts = np.bincount(names[labels == about["value"]], minlength=len(NAMES))
            if counts.max() >= PLAIN * max(1, counts.sum()):
                found[region] = NAMES[int(counts.argmax())]
    return found


def colour_names(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The place in `NAMES` of every pixel's colour, (h, w); from a table of 16 levels a channel."""
    coarse = (pixels >> 4).astype(np.int64)
    return _TABLE[coarse[..., 0], coarse[..., 1], coarse[..., 2]]


def colour_name(red: float, green: float, blue: float) -> str:
    """The name of a colour; channels 0 to 1."""
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.2 or saturation < 0.12 or saturation * value < 0.08:
        return "white" if value > 0.82 else "grey" if value > 0.25 else "black"
    degrees = hue * 360
    if 12 <= degrees < 70 and saturation < 0.35 and value > 0.6:
        return "beige"
    if 8 <= degrees < 48 and value < 0.62:
        return "brown"
    if degrees < 12 or degrees >= 345:
        return "pink" if value > 0.75 and saturation < 0.5 else "red"
    return next(name for limit, name in HUES if degrees < limit)


_LEVELS = (np.arange(16) + 0.5) / 16
_TABLE = np.array(
    [[[NAMES.index(colour_name(r, g, b)) for b in _LEVELS] for g in _LEVELS] for r in _LEVELS]
)


def _open(image: Path, mask: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with Image.open(image) as picture, Image.open(mask) as drawn:
        labels = drawn.resize(picture.size, Image.Resampling.NEAREST)
        return np.array(picture.convert("RGB")), np.array(labels)


def _cut(
    source: str,
    row: Mapping[str, Any],
    pixels: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """The picture's largest regions as pictures of their own."""
    large = [
        (region, about)
        for region, about in row["regions"].items()
        if about["share"] >= SMALLEST_CUT[source] and region not in NOT_CUT
    ]
    large.sort(key=lambda pair: -pair[1]["share"])
    for region, about in large[:CUTS]:
        box = _box(labels == about["value"])
        if min(box[2] - box[0], box[3] - box[1]) >= SHORTEST_SIDE:
            name = f"{row['id']}-{about['value']}"
            Image.fromarray(pixels).crop(box).save(folder / "images" / f"{name}.jpg", quality=92)
            yield {
                "id": name,
                "file": f"images/{name}.jpg",
                "class": region,
                "colour": row["colours"].get(region, ""),
                "picture": row["id"],
            }


def _box(inside: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a region, widened by `MARGIN`."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    tall, wide = MARGIN * len(rows), MARGIN * len(columns)
    return (
        max(0, int(columns[0] - wide)),
        max(0, int(rows[0] - tall)),
        min(inside.shape[1], int(columns[-1] + 1 + wide)),
        min(inside.shape[0], int(rows[-1] + 1 + tall)),
    )


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({"name": name}) + "\n")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "gallery.jsonl").write_text(lines)


if __name__ == "__main__":
    main()
