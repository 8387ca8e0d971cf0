"""Painting a staged thing: backdrop, shadow, thing, light."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from composir.triplets.edits import COLOURS, SIDE, Draw, Pixels, dye, figure
from composir.triplets.staged.backdrops import PLAIN, Backdrop
from composir.triplets.staged.stagings import Print, StagedPair, Staging, lit

_LIGHTNESS = {"white": (247.0, 254.0), "grey": (155.0, 185.0)}
_NO_SHADOW = ("sky", "mountain", "curtain")
_SHORTER, _BAND, _BLUR = 0.6, 6, 2
_MARGIN, _SMALL = 14, 0.56


def paint_pair(pair: StagedPair, before: Draw, after: Draw) -> tuple[Image.Image, Image.Image]:
    """Both pictures; what nobody asked about (place, crop, strength of the light) differs a bit."""
    target = _painted(pair, pair.after, after)
    if after.random() < 0.5:
        target = ImageOps.mirror(target)
    return _painted(pair, pair.before, before), target


def _painted(pair: StagedPair, staging: Staging, draw: Draw) -> Image.Image:
    canvas = _rounded(_backdrop(staging.backdrop, draw))
    thing, cover = _scaled(*_dressed(pair, staging), staging, draw)
    places = _places(thing.size, staging, draw)
    if staging.backdrop.name not in _NO_SHADOW:
        _cast_shadows(canvas, cover, places, staging.backdrop)
    for place in places:
        canvas.paste(thing, place, cover)
    if staging.light == "soft":
        return canvas
    return _rounded(lit(np.asarray(canvas, dtype=np.float32), staging.light, draw))


def _rounded(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0.0, 255.0).astype(np.uint8))


def _backdrop(backdrop: Backdrop, draw: Draw) -> Pixels:
    if backdrop.beyond is None:
        return _ground(backdrop, SIDE, draw)
    line = int(SIDE * (backdrop.horizon + draw.uniform(-0.03, 0.03)))
    parts = [_ground(backdrop.beyond, line, draw), _ground(backdrop, SIDE - line, draw)]
    picture = np.concatenate(parts)
    # No sharp edge where the ground ends.
    rows = np.arange(line - _BAND, line + _BAND)
    shifts = range(-_BLUR, _BLUR + 1)
    picture[rows] = np.mean([picture[rows + shift] for shift in shifts], axis=0)
    return picture


def _ground(backdrop: Backdrop, height: int, draw: Draw) -> Pixels:
    """One backdrop, (height, SIDE, 3)."""
    if backdrop.patch is not None:
        return _crop(backdrop.patch.rgb, height, draw)
    if backdrop.name in PLAIN:
        level = draw.uniform(*_LIGHTNESS[backdrop.name])
        return np.full((height, SIDE, 3), level, dtype=np.float32)
    shade = np.linspace(1.0, draw.uniform(0.78, 0.95), height, dtype=np.float32)
    wall = backdrop.colour * shade[:, None, None]
    return np.array(np.broadcast_to(wall, (height, SIDE, 3)))


def _crop(patch: np.ndarray, height: int, draw: Draw) -> Pixels:
    """A part of a patch, a little different every time."""
    side = patch.shape[0]
    wide = side * (1.0 - draw.uniform(0.0, 0.12))
    # Flattened at most so much; a broad strip of a square would be magnified instead.
    high = min(side * 1.0, max(wide * height / SIDE, _SHORTER * side))
    left, top = draw.uniform(0.0, side - wide), draw.uniform(0.0, side - high)
    box = (left, top, min(left + wide, side), min(top + high, side))
    cut = Image.fromarray(patch).resize((SIDE, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(cut, dtype=np.float32)


def _dressed(pair: StagedPair, staging: Staging) -> tuple[Pixels, Pixels]:
    """The thing, dyed and painted, at its full size, and its alpha, 0 to 1."""
    rgb = pair.thing.rgb.astype(np.float32)
    alpha = pair.thing.alpha.astype(np.float32) / np.float32(255.0)
    if staging.colour is not None:
        rgb = dye(rgb, alpha, np.array(COLOURS[staging.colour], dtype=np.float32))
    if staging.pattern != "plain":
        rgb = _printed(rgb, alpha, pair.print, staging.pattern)
    return rgb, alpha


def _printed(rgb: Pixels, alpha: Pixels, style: Print, pattern: str) -> Pixels:
    """A pattern on the thing, with half of its shading: it must be seen on busy things too."""
    where = figure(pattern, alpha.shape, style.period)
    if style.is_turned and pattern == "stripes":
        where = figure(pattern, alpha.shape[::-1], style.period).T
    soft = _rounded(where * 255.0).filter(ImageFilter.GaussianBlur(0.7))
    share = np.asarray(soft, dtype=np.float32)[..., None] / np.float32(255.0)
    ink = np.array(COLOURS[style.ink], dtype=np.float32)
    painted = np.float32(0.55) * dye(rgb, alpha, ink) + np.float32(0.45) * ink
    return np.asarray(rgb + (painted - rgb) * share, dtype=np.float32)


def _scaled(
    rgb: Pixels, alpha: Pixels, staging: Staging, draw: Draw
) -> tuple[Image.Image, Image.Image]:
    """The thing as it is pasted, and where it covers."""
    height, width = alpha.shape
    scale = min(1.0, 0.96 * SIDE / staging.count / width)
    scale *= _SMALL if staging.size == "small" else 1.0
    scale *= draw.uniform(0.94, 1.06) * (1.0 if staging.count == 1 else 0.95)
    size = (max(8, int(width * scale)), max(8, int(height * scale)))
    cover = _rounded(alpha * 255.0).resize(size, Image.Resampling.BILINEAR)
    return _rounded(rgb).resize(size, Image.Resampling.LANCZOS), cover


def _places(size: tuple[int, int], staging: Staging, draw: Draw) -> list[tuple[int, int]]:
    """Left and top of each of the things, side by side."""
    width, height = size
    between = max(1, staging.count - 1)
    step = min((SIDE - _MARGIN - width) / between, width * 1.12)
    span = step * (staging.count - 1) + width
    middle = SIDE / 2 + SIDE * draw.uniform(-0.05, 0.05)
    middle = min(max(middle, span / 2), SIDE - span / 2)
    bottom = min(_bottom(height, staging, draw), SIDE - 3)
    return [
        (
            round(middle - span / 2 + number * step),
            round(bottom - height + (draw.uniform(-4, 4) if number else 0.0)),
        )
        for number in range(staging.count)
    ]


def _bottom(height: int, staging: Staging, draw: Draw) -> float:
    """Where the thing stands; before a sky it floats in the middle."""
    if staging.backdrop.name == "sky":
        return SIDE / 2 + height / 2 + SIDE * draw.uniform(-0.05, 0.05)
    further = 0.08 if staging.size == "small" else 0.0
    return SIDE * (0.9 - further + draw.uniform(-0.05, 0.03))


def _cast_shadows(
    canvas: Image.Image, cover: Image.Image, places: list[tuple[int, int]], backdrop: Backdrop
) -> None:
    """Soft ellipses, each as wide as what stands on the ground."""
    width, height = cover.size
    rim = np.asarray(cover)[-max(4, height // 8) :].max(axis=0) > 128
    feet = np.flatnonzero(rim)
    left_foot, right_foot = (feet[0], feet[-1]) if feet.size else (0, width)
    shadow = Image.new("L", canvas.size, 0)
    pen = ImageDraw.Draw(shadow)
    for left, top in places:
        ground, thick = top + height - 2, max(3.0, height * 0.035)
        ends = (float(left + left_foot - 5), float(left + right_foot + 5))
        pen.ellipse((ends[0], ground - thick, ends[1], ground + thick), fill=255)
    strength = 0.5 if backdrop.patch is not None else 0.42
    soft = shadow.filter(ImageFilter.GaussianBlur(5)).point(lambda level: int(level * strength))
    canvas.paste((0, 0, 0), (0, 0), soft)
