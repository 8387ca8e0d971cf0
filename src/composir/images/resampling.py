"""Pictures to model input by Pillow and nothing of composir: exported clients carry a copy.

Without `exact`, the part that is shown (of fractional pixels) is scaled after whole pixels were
averaged. The processors of transformers (the `pil` backend) and of open_clip (torchvision) scale
the whole picture to whole pixels with every pixel filtered, and then crop at whole pixels; they
differ in how they round where the crop begins. A picture so long that all of it would be a flood
when scaled is scaled only where the crop shows it, which gives the same pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Before it filters, Pillow averages whole pixels down to no less than this many times the size that
# is asked for: several times faster, and close to filtering every pixel.
REDUCING_GAP = 1.5
_SUPPORT = {"bilinear": 1, "bicubic": 2, "lanczos": 3}  # pixels that a filter reaches, unstretched
_LARGEST = 64 << 20  # bytes that scaling may take beside the picture and the input


class ResizeSpec(Protocol):
    """What is asked for: the fields of `composir.images.preprocess.PreprocessSpec`."""

    @property
    def size(self) -> int:
        """Side of the input, pixels."""

    @property
    def fit(self) -> str:
        """`squash`, `centre-crop`, `pad` or `targetpad`."""

    @property
    def pad_ratio(self) -> float:
        """Of `targetpad`: width to height that is not padded."""

    @property
    def pad_colour(self) -> tuple[int, int, int]:
        """Red, green and blue of the padding."""

    @property
    def interpolation(self) -> str:
        """A name in `RESAMPLE`."""

    @property
    def exact(self) -> str | None:
        """Whose processor is followed."""

    @property
    def short_side(self) -> int | None:
        """What the short side is scaled to before a crop."""


def model_input(rgb: Image.Image, spec: ResizeSpec) -> Image.Image:
    """Turn one picture into model input."""
    return _exact_input(rgb, spec) if spec.exact else _fast_input(rgb, spec)


def window(width: int, height: int, spec: ResizeSpec) -> tuple[float, float]:
    """Width and height of the part of the plane that becomes the input, in picture pixels.

    It lies over the middle of the picture, and reaches beyond it where there is padding.
    """
    if spec.fit == "squash":
        return width, height
    long, short = max(width, height), min(width, height)
    side = {
        "centre-crop": short * spec.size / (spec.short_side or spec.size),
        "pad": long,
        "targetpad": max(short, long / spec.pad_ratio),
    }[spec.fit]
    return side, side


def _fast_input(rgb: Image.Image, spec: ResizeSpec) -> Image.Image:
    width, height = window(rgb.width, rgb.height, spec)
    seen_width, seen_height = min(width, rgb.width), min(height, rgb.height)
    left, top = (rgb.width - seen_width) / 2, (rgb.height - seen_height) / 2
    target = (
        max(1, round(spec.size * seen_width / width)),
        max(1, round(spec.size * seen_height / height)),
    )
    box = (left, top, left + seen_width, top + seen_height)
    shown = rgb.resize(target, RESAMPLE[spec.interpolation], box, reducing_gap=REDUCING_GAP)
    return _laid(shown, spec, (spec.size - target[0]) // 2, (spec.size - target[1]) // 2)


def _laid(shown: Image.Image, spec: ResizeSpec, left: int, top: int) -> Image.Image:
    """What is shown, on the colour of the padding where it does not fill the input."""
    if shown.size == (spec.size, spec.size):
        return shown
    canvas = Image.new("RGB", (spec.size, spec.size), tuple(spec.pad_colour))
    canvas.paste(shown, (left, top))
    return canvas


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the input lies on the scaled picture, in whole pixels."""

    width: int  # of the whole picture, scaled
    height: int  # likewise
    left: int  # where on it the input begins; negative where the input begins with padding
    top: int  # likewise


def layout(width: int, height: int, spec: ResizeSpec) -> Layout:
    """Lay a picture out for a specification in exact mode."""
    scaled = _scaled(width, height, spec)
    return Layout(*scaled, *(_offset(side - spec.size, spec.exact) for side in scaled))


def _exact_input(rgb: Image.Image, spec: ResizeSpec) -> Image.Image:
    place = layout(*rgb.size, spec)
    seen = (
        max(0, place.left),
        max(0, place.top),
        min(place.width, place.left + spec.size),
        min(place.height, place.top + spec.size),
    )
    if _fits(rgb, place, spec):
        scaled = rgb.resize((place.width, place.height), RESAMPLE[spec.interpolation])
        shown = scaled.crop(seen)
    else:
        shown = _scaled_part(rgb, place, seen, spec.interpolation)
    return _laid(shown, spec, max(0, -place.left), max(0, -place.top))


def _scaled(width: int, height: int, spec: ResizeSpec) -> tuple[int, int]:
    if spec.fit == "squash":
        return spec.size, spec.size
    if spec.fit == "pad":
        ratio = max(width, height) / spec.size
        return max(1, round(width / ratio)), max(1, round(height / ratio))
    short = spec.short_side or spec.size
    long = int(short * max(width, height) / min(width, height))
    return (short, long) if width <= height else (long, short)


def _offset(spare: int, rule: str | None) -> int:
    """Where a crop begins that leaves so many pixels out; less than none are padded."""
    if rule == "transformers":
        return spare // 2
    if rule == "open_clip":
        return round(spare / 2) if spare > 0 else -(-spare // 2)
    raise ValueError(f"the rule {rule!r} is unknown: use the client that lies beside the card")


def _fits(rgb: Image.Image, place: Layout, spec: ResizeSpec) -> bool:
    """Whether scaling the whole picture needs little memory; if not, a part has to do."""
    support = _SUPPORT[spec.interpolation]
    weights = _weight_bytes(rgb.width, place.width, support)
    weights += _weight_bytes(rgb.height, place.height, support)
    if spec.fit == "centre-crop":
        pixels = max(place.width, place.height) * max(min(rgb.size), min(place.width, place.height))
        return weights + 4 * pixels <= _LARGEST
    if weights > _LARGEST:
        raise ValueError(
            f"{rgb.width:,} x {rgb.height:,} pixels are too long for this model, which looks at "
            f"all of them: scaling needs {weights >> 20:,} MiB (at most {_LARGEST >> 20})"
        )
    return True


def _weight_bytes(length: int, scaled: int, support: int) -> int:
    """What Pillow keeps for one direction: for each pixel that comes out a row of float64."""
    return 8 * scaled * (2 * math.ceil(support * max(1.0, length / scaled)) + 1)


@dataclass(frozen=True, slots=True)
class _Axis:
    """The pixels `first` to `last` of one direction hold what `size` scaled ones are made of.

    These begin at `start` and end at `stop`, pixels of the picture after `first`.
    """

    first: int
    last: int
    start: float
    stop: float
    size: int

    @classmethod
    def of(cls, length: int, scaled: int, begin: int, end: int, support: int) -> _Axis:
        scale = length / scaled
        margin = math.ceil(support * max(1.0, scale)) + 1
        first = max(0, math.floor(begin * scale) - margin)
        last = min(length, math.ceil(end * scale) + margin)
        return cls(first, last, begin * scale - first, end * scale - first, end - begin)


def _scaled_part(
    rgb: Image.Image, place: Layout, seen: tuple[int, int, int, int], interpolation: str
) -> Image.Image:
    """Part of the scaled picture, made of nothing but the pixels that it needs."""
    support, resample = _SUPPORT[interpolation], RESAMPLE[interpolation]
    across = _Axis.of(rgb.width, place.width, seen[0], seen[2], support)
    down = _Axis.of(rgb.height, place.height, seen[1], seen[3], support)
    part = rgb.crop((across.first, down.first, across.last, down.last))
    # In the order of Pillow 13 for the whole picture: what comes first is rounded, which shows.
    if rgb.height > rgb.width and rgb.height > place.height:
        first: tuple[float, float, float, float] = (0.0, down.start, part.width, down.stop)
        part = part.resize((part.width, down.size), resample, first)
        then: tuple[float, float, float, float] = (across.start, 0.0, across.stop, down.size)
    else:
        first = (across.start, 0.0, across.stop, part.height)
        part = part.resize((across.size, part.height), resample, first)
        then = (0.0, down.start, across.size, down.stop)
    return part.resize((across.size, down.size), resample, then)
