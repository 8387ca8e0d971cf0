"""Small pictures on disk, all different, made without any file of the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def scene(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture with a few shapes on a soft background, different for every seed."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 255, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for _ in range(4):
        x, y = rng.random(2) * 0.7
        w, h = 0.1 + rng.random(2) * 0.4
        box = (x * size[0], y * size[1], (x + w) * size[0], (y + h) * size[1])
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    return picture


def plain(path: Path, colour: str | tuple[int, int, int], side: int = 24) -> Path:
    """Write one picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path)
    return path


def scenes(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """Write one scene a seed, `scene-0007.png` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene-{seed:04}.png" for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        scene(seed).save(path)
    return paths
