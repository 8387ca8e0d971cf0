"""Edits of one thing whose region is known, e.g. a garment: its colour, its pattern, or it goes.

A data set's gallery names regions by a mask, a picture whose grey values `regions` explains:
`{"mask": "masks/1.png", "regions": {"skirt": {"value": 42}}}`. [ours]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from composir.errors import DatasetError
from composir.images import read_image
from composir.triplets.edits import COLOURS, Draw, Edited, Pixels, blended, dye, figure, one_of
from composir.triplets.words import with_article

_PATTERNS = {"stripes": "striped", "dots": "dotted", "checks": "chequered"}
_CHANGED = ("with {a}", "make the {thing} {new}", "the {thing} is {new}", "{a} instead", "{a}")
_REMOVED = ("without the {thing}", "remove the {thing}", "no {thing}", "take the {thing} away")
_SHARE, _MOST_REMOVED = (0.01, 0.6), 0.15
_NO_THING = frozenset({"skin", "face", "hair", "background", "null", "person", "sky"})
_RADII = (3, 6, 12, 24, 48, 96)


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of a picture: a mask, and grey values in it by what a region shows."""

    mask: Path
    values: Mapping[str, int]

    @classmethod
    def of_row(cls, folder: Path, row: Mapping[str, object]) -> Regions | None:
        """What a gallery's row says; None where it names no mask."""
        mask, named = row.get("mask"), row.get("regions")
        if not isinstance(mask, str) or not isinstance(named, Mapping):
            return None
        try:
            return cls(folder / mask, {str(k): int(named[k]["value"]) for k in named})
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{folder}: regions of {mask} without a value: {error}") from error


def edit_region(rgb: Image.Image, regions: Regions, draw: Draw) -> Edited | None:
    """Edit one of a picture's regions, drawn at random; None where none is of a fit size."""
    grey = read_image(regions.mask).rgb.resize(rgb.size, Image.Resampling.NEAREST)
    values = np.asarray(grey)[..., 0]
    things = sorted(regions.values.keys() - _NO_THING)
    masks = {thing: (values == regions.values[thing]).astype(np.float32) for thing in things}
    fit = [thing for thing in things if _SHARE[0] < float(masks[thing].mean()) < _SHARE[1]]
    if not fit:
        return None
    thing = fit[draw.integers(len(fit))]
    pixels, mask = np.asarray(rgb, dtype=np.float32), masks[thing]
    kind = draw.integers(3 if float(mask.mean()) < _MOST_REMOVED else 2)
    if kind == 2:
        return Edited(
            _filled_in(pixels, mask), one_of(_REMOVED, draw).format(thing=thing), "removed"
        )
    colour = one_of(tuple(COLOURS), draw)
    dyed = dye(pixels, mask, np.array(COLOURS[colour], dtype=np.float32))
    pattern = one_of(tuple(_PATTERNS), draw)
    new, name = (
        (_PATTERNS[pattern], f"pattern/{pattern}") if kind else (colour, f"recolour/{colour}")
    )
    where = mask * figure(pattern, mask.shape, float(draw.uniform(8, 20))) if kind else mask
    said = one_of(_CHANGED, draw).format(a=with_article(f"{new} {thing}"), new=new, thing=thing)
    return Edited(blended(pixels, dyed, where), said, f"region {name}")


def _filled_in(pixels: Pixels, mask: Pixels) -> Image.Image:
    """What is around a region spread over it, from near to far."""
    hole = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(7))
    known = np.asarray(hole)[..., None] == 0
    filled = pixels
    for radius in _RADII:
        seen = np.concatenate([filled, np.full_like(pixels[..., :1], 255.0)], axis=2) * known
        blurred = Image.fromarray(seen.astype(np.uint8)).filter(ImageFilter.BoxBlur(radius))
        spread = np.asarray(blurred, dtype=np.float32)
        share = spread[..., 3:] / np.float32(255.0)
        new = ~known & (share > 0.05)
        filled = np.where(new, spread[..., :3] / np.maximum(share, 0.01), filled)
        known |= new
    return blended(pixels, filled, np.asarray(hole, dtype=np.float32) / np.float32(255.0))
