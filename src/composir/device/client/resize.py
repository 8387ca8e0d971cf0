"""Pixels to the graph's input in numpy, to the bit as composir's server side does it.

Models notice how their pictures were shrunk, so a client must not use just any resampling. This is
the antialiased convolution that Pillow documents (a filter stretched by the scale, normalised
weights in fixed point, rows before columns), after a first reduction by whole factors; or without
that and in whole pixels, where the card asks for what the model's own processor does (`exact`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

REDUCING_GAP = 1.5
_BITS = 22  # of the fixed-point weights: 32 less 8 of a pixel less 2 to spare


def _bilinear(x: np.ndarray) -> np.ndarray:
    triangle: np.ndarray = np.maximum(0.0, 1.0 - np.abs(x))
    return triangle


def _bicubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where((x >= -3.0) & (x < 3.0), np.sinc(x) * np.sinc(x / 3), 0.0)


FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


def preprocess(rgb: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    """Turn one picture into the graph's input.

    Args:
        rgb: (height, width, 3) uint8, upright (EXIF orientation applied), sRGB, without alpha.
        spec: `preprocess` of `query_side.json`: size, fit, pad_ratio, pad_colour, interpolation,
            and, where they are given, exact and short_side.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: If the picture is of another shape or type, or has no pixels, or the card asks
            for a rule that is unknown here.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"an array of shape {rgb.shape} and type {rgb.dtype} is no RGB picture")
    size = int(spec["size"])
    height, width = rgb.shape[:2]
    if spec.get("exact") is not None:
        return _exact(rgb, spec)
    across, down = _window(width, height, spec)
    seen = min(across, width), min(down, height)
    left, top = (width - seen[0]) / 2, (height - seen[1]) / 2
    target = max(1, round(size * seen[0] / across)), max(1, round(size * seen[1] / down))
    box = (left, top, left + seen[0], top + seen[1])
    fitted = resize(rgb, target, box, str(spec["interpolation"]))
    return fitted if target == (size, size) else _padded(fitted, size, spec["pad_colour"])


def resize(
    rgb: np.ndarray,
    target: tuple[int, int],
    box: tuple[float, float, float, float],
    interpolation: str,
) -> np.ndarray:
    """Resample a part of a picture.

    Args:
        rgb: (height, width, 3) uint8.
        target: Width and height of the result, pixels.
        box: Left, top, right and bottom of the part.
        interpolation: Name in `FILTERS`.

    Returns:
        (target height, target width, 3) uint8.
    """
    height, width = rgb.shape[:2]
    if target == (width, height) and box == (0, 0, width, height):
        return rgb.copy()
    convolve, support = FILTERS[interpolation]
    across = _Axis.of(box[0], box[2], target[0], width, support)
    down = _Axis.of(box[1], box[3], target[1], height, support)
    if across.factor > 1 or down.factor > 1:
        part = rgb[down.start : down.stop, across.start : across.stop]
        rgb = _reduced(part, down.factor, across.factor)
        across, down = across.reduced(), down.reduced()
    wide = _resampled(rgb.swapaxes(0, 1), across, convolve, support).swapaxes(0, 1)
    return _resampled(wide, down, convolve, support)


def _exact(rgb: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    """Scale all of the picture, of which no more is computed than the input shows."""
    size = int(spec["size"])
    height, width = rgb.shape[:2]
    target = _exact_target(width, height, spec)
    corner = tuple(_exact_offset(side - size, str(spec["exact"])) for side in target)
    begin = tuple(max(0, offset) for offset in corner)
    end = tuple(min(side, offset + size) for side, offset in zip(target, corner, strict=True))
    convolve, support = FILTERS[str(spec["interpolation"])]
    across = _Axis.part(width, target[0], begin[0], end[0], support)
    down = _Axis.part(height, target[1], begin[1], end[1], support)
    rgb = rgb[down.start : down.stop, across.start : across.stop]
    wide = _resampled(rgb.swapaxes(0, 1), across, convolve, support).swapaxes(0, 1)
    shown = _resampled(wide, down, convolve, support)
    if shown.shape[:2] == (size, size):
        return np.ascontiguousarray(shown)
    canvas = np.empty((size, size, 3), dtype=np.uint8)
    canvas[:] = spec["pad_colour"]
    left, above = (max(0, -offset) for offset in corner)
    canvas[above : above + len(shown), left : left + shown.shape[1]] = shown
    return canvas


def _exact_target(width: int, height: int, spec: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the whole picture, scaled."""
    size, fit = int(spec["size"]), spec["fit"]
    if fit == "squash":
        return size, size
    if fit == "pad":
        ratio = max(width, height) / size
        return max(1, round(width / ratio)), max(1, round(height / ratio))
    short = int(spec.get("short_side") or size)
    long = int(short * max(width, height) / min(width, height))
    return (short, long) if width <= height else (long, short)


def _exact_offset(spare: int, rule: str) -> int:
    """Where the input begins on the scaled picture; negative where it begins with padding."""
    if rule == "transformers":
        return spare // 2
    if rule == "open_clip":
        return round(spare / 2) if spare > 0 else -(-spare // 2)
    raise ValueError(f"the rule {rule!r} is unknown: use the client that lies beside the card")


@dataclass(frozen=True)
class _Axis:
    """One direction of a resize: from `first` to `last` of the input to `size` pixels.

    Before that, `start` to `stop` are reduced by a whole `factor`. Of the result only `shown` is
    made, where it is given: then `start` to `stop` are the input that this needs.
    """

    first: float
    last: float
    size: int
    factor: int = 1
    start: int = 0
    stop: int = 0
    shown: range | None = None

    @classmethod
    def part(cls, length: int, size: int, begin: int, end: int, support: float) -> _Axis:
        scale = length / size
        margin = math.ceil(support * max(1.0, scale)) + 1
        start = max(0, math.floor(begin * scale) - margin)
        stop = min(length, math.ceil(end * scale) + margin)
        return cls(0, length, size, 1, start, stop, range(begin, end))

    @classmethod
    def of(cls, first: float, last: float, size: int, length: int, support: float) -> _Axis:
        factor = int((last - first) / size / REDUCING_GAP) or 1
        margin = (support - 0.5) * (last - first) / size
        start, stop = max(0, int(first - margin)), min(length, math.ceil(last + margin))
        return cls(first, last, size, factor, start, stop)

    def reduced(self) -> _Axis:
        first, last = (
            (self.first - self.start) / self.factor,
            (self.last - self.start) / self.factor,
        )
        return _Axis(first, last, self.size)


def _window(width: int, height: int, spec: Mapping[str, Any]) -> tuple[float, float]:
    """Width and height of what becomes the input, in pixels of the picture."""
    if spec["fit"] == "squash":
        return width, height
    long, short = max(width, height), min(width, height)
    padded = max(short, long / float(spec["pad_ratio"]))
    side = {"centre-crop": short, "pad": long, "targetpad": padded}[spec["fit"]]
    return side, side


def _padded(fitted: np.ndarray, size: int, colour: Sequence[int]) -> np.ndarray:
    canvas = np.empty((size, size, 3), dtype=np.uint8)
    canvas[:] = colour
    height, width = fitted.shape[:2]
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = fitted
    return canvas


def _reduced(rgb: np.ndarray, down: int, across: int) -> np.ndarray:
    """Means of blocks of `down` x `across` pixels; those at the far edges may be smaller."""
    height, width = rgb.shape[:2]
    sums = _block_sums(_block_sums(rgb, down).swapaxes(0, 1), across).swapaxes(0, 1)
    rows, columns = np.arange(0, height, down), np.arange(0, width, across)
    tall, wide = np.diff(rows, append=height), np.diff(columns, append=width)
    counts = np.outer(tall, wide).astype(np.uint64)[:, :, None]
    reciprocals = np.uint64(1 << 24) // counts
    means: np.ndarray = ((sums + counts // np.uint64(2)) * reciprocals) >> np.uint64(24)
    return means.astype(np.uint8)


def _block_sums(values: np.ndarray, factor: int) -> np.ndarray:
    """Sums of each `factor` rows, (ceil(length / factor), other, 3) uint32."""
    sums = np.zeros((math.ceil(len(values) / factor), *values.shape[1:]), dtype=np.uint32)
    for offset in range(factor):
        part = values[offset::factor]
        sums[: len(part)] += part
    return sums


def _resampled(
    rows: np.ndarray, axis: _Axis, convolve: Callable[[np.ndarray], np.ndarray], support: float
) -> np.ndarray:
    """Resample the first axis of (length, other, 3) uint8."""
    if axis.first == 0 and axis.last == axis.size:
        shown, skipped = _shown(axis)
        return rows[shown.start - skipped : shown.stop - skipped]
    weights = _weights(len(rows), axis, convolve, support)
    # Whole numbers below 2 ** 53, so float64 is exact, and fast.
    total = np.tensordot(weights, rows.astype(np.float64), axes=1)
    rounded = np.floor((total + (1 << (_BITS - 1))) / (1 << _BITS))
    return np.clip(rounded, 0, 255).astype(np.uint8)


def _weights(
    length: int, axis: _Axis, convolve: Callable[[np.ndarray], np.ndarray], support: float
) -> np.ndarray:
    """What each input pixel gives to each output pixel, (shown, length), whole numbers."""
    shown, skipped = _shown(axis)
    first, last = np.float32(axis.first), np.float32(axis.last)
    scale = float(last - first) / axis.size
    stretch = max(scale, 1.0)
    table = np.zeros((len(shown), length))
    for row, index in enumerate(shown):
        centre = float(first) + (index + 0.5) * scale
        start = max(0, int(centre - support * stretch + 0.5))
        stop = min(skipped + length, int(centre + support * stretch + 0.5))
        weights = convolve((np.arange(start, stop) - centre + 0.5) / stretch)
        table[row, start - skipped : stop - skipped] = _fixed_point(weights / weights.sum())
    return table


def _shown(axis: _Axis) -> tuple[range, int]:
    """Which pixels are made, and how many of the input were left out before the first."""
    return (range(axis.size), 0) if axis.shown is None else (axis.shown, axis.start)


def _fixed_point(weights: np.ndarray) -> np.ndarray:
    """Weights as whole numbers, rounded half away from zero."""
    fixed: np.ndarray = np.trunc(weights * (1 << _BITS) + np.copysign(0.5, weights))
    return fixed
