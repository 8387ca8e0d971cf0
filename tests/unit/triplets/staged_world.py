"""A made-up data set whose masks tell a sofa from the grass that it stands on."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from composir.triplets.staged.props import MaskedPicture, masked_pictures
from tests.unit.triplets.world import write_rows

SIZE, BOX = (220, 180), (60, 70, 159, 149)
SOFA, GRASS = (150, 120, 100), (90, 160, 70)
REGIONS = {"sofa": {"value": 7}, "grass": {"value": 3}}


def masked(folder: Path, number: int = 4) -> Path:
    """Pictures of a sofa on grass, with masks that say so."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = []
    for place in range(number):
        picture, mask = Image.new("RGB", SIZE, GRASS), Image.new("L", SIZE, 3)
        ImageDraw.Draw(picture).rectangle(BOX, fill=tuple(value + 9 * place for value in SOFA))
        ImageDraw.Draw(mask).rectangle(BOX, fill=7)
        picture.save(folder / "images" / f"{place}.png")
        mask.save(folder / "masks" / f"{place}.png")
        files: dict[str, object] = {"file": f"images/{place}.png", "mask": f"masks/{place}.png"}
        rows.append({"id": f"p{place}", **files, "regions": REGIONS})
    write_rows(folder / "gallery.jsonl", rows)
    return folder


def masked_world(folder: Path, number: int = 4) -> list[MaskedPicture]:
    """The same, read."""
    return masked_pictures([masked(folder, number)])
