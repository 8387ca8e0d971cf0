"""A few pictures on disk, as a data set folder and as plain files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
THINGS = ("lamp", "dog")


def write_pictures(folder: Path, count: int = 24) -> list[Path]:
    """Noisy pictures of one colour each, named by number."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(count):
        generator = np.random.default_rng(number)
        colour = list(COLOURS.values())[number % 2]
        pixels = np.clip(np.array(colour) + generator.integers(-30, 30, (40, 40, 3)), 0, 255)
        file = folder / f"{number:02d}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(file)
        files.append(file)
    return files


def caption_of(number: int) -> str:
    return f"a {list(COLOURS)[number % 2]} {THINGS[number // 2 % 2]}"


def write_data_set(folder: Path, count: int = 24, **more: Any) -> Path:
    """A data set folder with captions; `more` goes into each row as functions of its number."""
    write_pictures(folder / "images", count)
    card = {"name": folder.name, "metrics": ["recall@10"], "licence": "CC-BY-4.0"}
    (folder / "dataset.json").write_text(json.dumps(card))
    rows = [
        {"id": str(number), "file": f"images/{number:02d}.png", "captions": [caption_of(number)]}
        | {name: make(number) for name, make in more.items()}
        for number in range(count)
    ]
    (folder / "gallery.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write_queries(folder: Path, count: int = 4) -> Path:
    """Composed queries: the next picture, which has the other colour."""
    rows = [
        {"id": f"q{n}", "reference": str(n), "text": "in blue", "targets": [str(n + 1)]}
        for n in range(count)
    ]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
