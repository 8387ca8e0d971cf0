"""A small world of coloured things, in which pairs and texts can be checked by eye."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from composir.triplets import ImageSet, SourceImage, read_data_set
from tests.fakes import COLOURS

THINGS = ("cup", "lamp", "chair")
SHOWN = ("red", "green", "blue", "yellow", "magenta")


def shop(folder: Path, things: Iterable[str] = THINGS, colours: Iterable[str] = SHOWN) -> Path:
    """A data set of things in colours: `cup-red`, ... with title, kind and colour."""
    rows = []
    for width, thing in enumerate(things, start=8):
        for colour in colours:
            file = Path("images") / f"{thing}-{colour}.png"
            (folder / "images").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (width, 8), COLOURS[colour]).save(folder / file)
            title = f"{colour.title()} {thing.title()} No. {width}"
            rows.append({"id": f"{thing}-{colour}", "file": str(file), "title": title})
            rows[-1] |= {"colour": colour.title(), "kind": thing}
    write_rows(folder / "gallery.jsonl", rows)
    return folder


def captioned(folder: Path, colours: Iterable[str] = COLOURS) -> tuple[Path, Path]:
    """A folder of coloured pictures, and captions that say so."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    rows = []
    for colour in colours:
        Image.new("RGB", (9, 9), COLOURS[colour]).save(photos / f"{colour}.png")
        rows.append({"file": f"{colour}.png", "caption": f"A {colour} wall in the sun ."})
    write_rows(folder / "captions.jsonl", rows)
    return photos, folder / "captions.jsonl"


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def shop_source(folder: Path) -> ImageSet:
    return read_data_set(shop(folder / "shop"))


def picture(name: str, *captions: str, **attributes: str) -> SourceImage:
    """A picture without a file."""
    return SourceImage(name, Path(f"{name}.png"), captions, attributes)
