"""Pixels of any mode to 8-bit sRGB, as a person would see them on white paper.

- Transparency is composited over white.
- 16-bit grey is scaled to 8 bits; 32-bit integers and floats, whose range no standard fixes, are
  taken as 0 to 255, 0 to 65,535 or 0.0 to 1.0 where they fit and are stretched between their
  darkest and brightest pixel where they do not.
- A colour profile is applied to RGB and CMYK pictures unless it is sRGB already, after any
  shrinking, so that it costs some milliseconds; grey profiles are ignored (they move the tone a
  little, never the hue), and so are damaged ones, as viewers do. CMYK without a profile is
  converted by the plain formula.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.types import PixelArray

if TYPE_CHECKING:
    from PIL import ImageCms

_BLOCK_PIXELS = 1 << 20
LARGEST_PROFILE = 4 << 20
"""Bytes of a colour profile that is heeded; a larger one is taken for sRGB."""


def to_srgb(picture: Image.Image, *, shrink: int = 1) -> Image.Image:
    """Convert a loaded picture, and shrink it on the way.

    It goes block by block, so that a huge picture needs little memory beside itself and the result.

    Args:
        picture: Of any of Pillow's modes; it is left as it is.
        shrink: Each block of shrink x shrink pixels becomes one, their mean.
    """
    profile = picture.info.get("icc_profile")
    transform = _profile_transform(profile, picture.mode) if profile else None
    is_plain = picture.mode == "RGB" and not picture.has_transparency_data
    if shrink == 1 and transform is None and is_plain:
        return picture
    levels = _levels(picture)
    rgb = Image.new("RGB", (-(-picture.width // shrink), -(-picture.height // shrink)))
    for place, block in _blocks(picture, shrink):
        flat = _flatten(block, levels)
        small = flat if shrink == 1 else flat.reduce(shrink)
        left, top = place
        rgb.paste(_with_profile(small, transform), (left // shrink, top // shrink))
    return rgb


def _blocks(picture: Image.Image, multiple: int) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    """Parts of about a million pixels with their left and top, multiples of `multiple`."""
    if picture.width * picture.height <= _BLOCK_PIXELS:
        yield (0, 0), picture
        return
    columns = multiple * max(1, min(picture.width, _BLOCK_PIXELS // multiple) // multiple)
    rows = multiple * max(1, _BLOCK_PIXELS // (columns * multiple))
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        for left in range(0, picture.width, columns):
            right = min(left + columns, picture.width)
            yield (left, top), picture.crop((left, top, right, bottom))


def _flatten(picture: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """Mode RGB, or CMYK, which waits for its profile."""
    if levels is not None:
        return _eight_bit(picture, levels).convert("RGB")
    if picture.has_transparency_data:
        return _over_white(picture)
    return picture if picture.mode in {"RGB", "CMYK"} else picture.convert("RGB")


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode == "La":  # Pillow knows no direct way
        picture = picture.convert("LA")
    rgba = _with_narrow_key(picture).convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return rgba.convert("RGB")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=alpha)
    return white


def _with_narrow_key(picture: Image.Image) -> Image.Image:
    """Bring the transparent colour of a PNG to 8 bits, as Pillow has brought its pixels."""
    key = picture.info.get("transparency")
    if isinstance(key, tuple) and max(key) > 255:
        narrow: object = tuple(value >> 8 for value in key)
    elif picture.mode in {"L", "1"} and isinstance(key, int) and key > 255:
        narrow = key & 255
    else:
        return picture
    picture = picture.copy()
    picture.info["transparency"] = narrow
    return picture


def _levels(picture: Image.Image) -> tuple[float, float] | None:
    """Values that become black and white; None for 8-bit modes."""
    if picture.mode.startswith("I;16"):
        return 0, 65535
    if picture.mode not in {"I", "F"}:
        return None
    if picture.mode == "I" and picture.format in {"PPM", "PNG"}:
        return 0, 65535
    low, high = _range(picture)
    for limit in (255, 65535) if picture.mode == "I" else (1,):
        if low >= 0 and high <= limit:
            return 0, limit
    return low, high


def _range(picture: Image.Image) -> tuple[float, float]:
    lows, highs = [], []
    for _, block in _blocks(picture, 1):
        values = np.asarray(block)
        finite = values[np.isfinite(values)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    return (min(lows), max(highs)) if lows else (0, 1)


def _eight_bit(picture: Image.Image, levels: tuple[float, float]) -> Image.Image:
    values = np.asarray(picture)
    grey = _grey_of_16_bits()[values] if values.dtype == np.uint16 else _scaled(values, levels)
    if isinstance(key := picture.info.get("transparency"), int):
        grey[values == key] = 255
    return Image.fromarray(grey)


@partial(lru_cache(maxsize=1))
def _grey_of_16_bits() -> PixelArray:
    return _scaled(np.arange(1 << 16), (0, 65535))


def _scaled(values: NDArray[Any], levels: tuple[float, float]) -> PixelArray:
    low, high = levels
    scaled = (values.astype(np.float64) - low) * (255 / ((high - low) or 1))
    grey = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255).round()
    return grey.astype(np.uint8)


def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if len(profile) > LARGEST_PROFILE:
        return None
    return _transform(profile, "CMYK" if mode == "CMYK" else "RGB")


def _with_profile(flat: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    if transform is not None:
        return transform.apply(flat)
    return flat if flat.mode == "RGB" else flat.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Transform to sRGB; None where none is needed (sRGB) or the profile is unusable."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).casefold():
            return None
        return ImageCms.buildTransform(source, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@partial(lru_cache(maxsize=1))
def _srgb() -> ImageCms.ImageCmsProfile:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
