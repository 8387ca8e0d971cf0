"""Things and pieces of background, cut out of pictures along their regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from composir.triplets.edits import SIDE, Pixels
from composir.triplets.region_edits import NO_THING, spread
from composir.triplets.staged.backdrops import BACKDROPS, Patch
from composir.triplets.staged.masks import (
    Mask,
    eroded,
    grown,
    largest_piece,
    largest_square,
    opened,
    without_holes,
)

Rgb: TypeAlias = NDArray[np.uint8]

_STUFF = (
    "wall|ceiling|window|window pane|building|house|skyscraper|tower|hovel|hut|bridge|pier|roof|"
    "grandstand|stage|booth|stairs|stairway|staircase|steps|step|escalator|banister|railing|fence|"
    "column|pillar|pole|path|track|dirt track|runway|land|hill|valley|cliff|waterfall|tunnel|gate|"
    "swimming pool|platform|counter|countertop|bar|base|doorway|screen door|awning|canopy|blind|"
    "blinds|shutter|mirror|screen|conveyor belt|shower|bulletin board|trade name|text|seat|tank|"
    "food|fruit|meal|apparel|clothing|clothes|accessories|furniture|equipment|blanket|"
    "smoke|cloud|clouds|fog|fire|shadow|void|other|unlabelled|unlabeled|ignore|"
    "man|woman|boy|girl|child|people|crowd|baby|body|head|arm|arms|leg|legs|hand|hands|foot|feet|"
    "neck|torso|eye|eyes|nose|mouth|ear|ears"
)
"""What has no outline of its own, is part of a house, shows something else, or is a person."""
NO_CUT_OUT = NO_THING.union(_STUFF.split("|"), *BACKDROPS.values())

_SHARE, _PIECE = (0.015, 0.6), 0.8
_LEAST, _SLENDER, _FULL = 48, 3, 0.36
_THIN, _SOLID = 7, 0.78
_AT_BORDER, _HOLE, _DARK = 0.15, 0.01, 22.0
_PAD, _STAGED, _REACH = 4, (250, 236), (2, 4)
_PATCH, _PATCH_LIGHT = 48, (55.0, 245.0)


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """A thing without its picture, as large as it is staged at most.

    Attributes:
        name: What its region is called.
        picture: Which picture it comes from.
        rgb: (h, w, 3); its colours go on beyond its outline.
        alpha: (h, w) uint8, soft.
        colour: Its mean, (3,) float32.
    """

    name: str
    picture: str
    rgb: Rgb
    alpha: NDArray[np.uint8]
    colour: Pixels

    @property
    def group(self) -> str:
        """Which thing of which picture it is: all that is staged of it belongs together."""
        return f"{self.picture}/{self.name}"


def cut_out(name: str, picture: str, rgb: Rgb, mask: Mask) -> CutOut | str:
    """The thing of a region; or why it cannot be staged, in words that can be counted."""
    if not _SHARE[0] <= float(mask.mean()) <= _SHARE[1]:
        return "of less than 1.5 % or more than 60 % of the picture"
    piece = largest_piece(mask)
    if np.count_nonzero(piece) < _PIECE * np.count_nonzero(mask):
        return "in several pieces"
    (top, bottom), (left, right) = _extent(piece, 1), _extent(piece, 0)
    box = slice(top, bottom), slice(left, right)
    fault = next(_faults(piece, piece[box]), None)
    if fault:
        return fault
    # Room for the colours of the rim to go on in.
    shape = np.pad(without_holes(piece[box], _HOLE), _PAD)
    pixels = np.pad(rgb[box], ((_PAD, _PAD), (_PAD, _PAD), (0, 0)), mode="edge")
    return _cleaned(name, picture, pixels, shape)


def _extent(piece: Mask, across: int) -> tuple[int, int]:
    places = np.flatnonzero(piece.any(axis=across))
    return int(places[0]), int(places[-1]) + 1


def _faults(piece: Mask, own: Mask) -> Iterator[str]:
    """What speaks against a piece of a picture; `own` is the box around it."""
    short, long = sorted(own.shape)
    size = np.count_nonzero(own)
    if short < _LEAST:
        yield f"less than {_LEAST} pixels wide or high"
    if long > _SLENDER * short or size < _FULL * own.size:
        yield "too slender to be seen"
    at_border = sum(np.count_nonzero(edge) for edge in (piece[0], piece[-1], *piece.T[[0, -1]]))
    if at_border > _AT_BORDER * 2 * sum(own.shape):
        yield "cut off by the picture's border"
    if np.count_nonzero(opened(own, _THIN)) < _SOLID * size:
        yield "in shreds"


def _cleaned(name: str, picture: str, pixels: Rgb, shape: Mask) -> CutOut | str:
    """Soft at the rim, without the old background's colours there."""
    inner = eroded(shape, 3)
    within = pixels[inner].astype(np.float32)
    if float(within.mean()) < _DARK:
        return "too dark"
    clean = spread(pixels.astype(np.float32), inner, _REACH).astype(np.uint8)
    height, width = shape.shape
    scale = min(_STAGED[0] / width, _STAGED[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    blurred = Image.fromarray(shape.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1.1))
    soft = np.asarray(blurred.resize(size, Image.Resampling.BICUBIC), np.float32) / 255.0
    alpha = np.clip((soft - 0.38) / 0.34, 0.0, 1.0) * 255.0
    staged = np.asarray(Image.fromarray(clean).resize(size, Image.Resampling.BICUBIC))
    return CutOut(name, picture, staged, alpha.astype(np.uint8), within.mean(axis=0))


def patch_of(rgb: Rgb, mask: Mask) -> Patch | None:
    """The largest square inside a region; None where that is small, dark or burnt out."""
    closed = eroded(np.pad(grown(mask, 3), 1, mode="edge"), 3)[1:-1, 1:-1]
    top, left, side = largest_square(closed)
    if side < _PATCH:
        return None
    square = rgb[top : top + side, left : left + side]
    colour = square.reshape(-1, 3).mean(axis=0).astype(np.float32)
    if not _PATCH_LIGHT[0] < float(colour.mean()) < _PATCH_LIGHT[1]:
        return None
    picture = Image.fromarray(square)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Patch(np.asarray(picture), colour, side)
