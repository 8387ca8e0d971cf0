"""Opens a data set's pictures, cut as the benchmark says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from composir.bench.task import Crop, Picture
from composir.errors import DatasetError, ImageReadError


def open_picture(picture: Picture, *, min_side: int | None = None) -> Image.Image:
    """Read a picture and cut it.

    Args:
        picture: Which file, which part.
        min_side: Whole pictures may be decoded smaller, down to this short side in pixels; cut
            ones are always decoded in full, because boxes are in the file's pixels.

    Returns:
        RGB.

    Raises:
        ImageReadError: If the file cannot be read.
    """
    from composir.images import read_image

    if picture.crop is None:
        return read_image(picture.path, min_side=min_side).rgb
    return cut(read_image(picture.path).rgb, picture.crop)


def cut(rgb: Image.Image, crop: Crop) -> Image.Image:
    """Cut a box out of a picture, dilated and squared as the crop says.

    Raises:
        ImageReadError: If no pixel of the picture lies within the box.
    """
    left, top, width, height = crop.box
    x0 = max(0.0, left - crop.dilation * width)
    y0 = max(0.0, top - crop.dilation * height)
    x1 = min(float(rgb.width), x0 + (1 + crop.dilation) * width)
    y1 = min(float(rgb.height), y0 + (1 + crop.dilation) * height)
    edges = (round(x0), round(y0), round(x1), round(y1))
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise ImageReadError(
            f"no pixel of its {rgb.width} x {rgb.height} lies within the box {crop.box} "
            f"(left, top, width, height)"
        )
    part = rgb.crop(edges)
    return _squared(part) if crop.square else part


def _squared(part: Image.Image) -> Image.Image:
    side = max(part.size)
    canvas = Image.new("RGB", (side, side))
    canvas.paste(part, ((side - part.width) // 2, (side - part.height) // 2))
    return canvas


def openers(pictures: Mapping[str, Picture]) -> dict[str, Callable[[], Image.Image]]:
    """Functions that open each picture, for composers with an image encoder of their own.

    They raise DatasetError, which names the picture, if its file cannot be read.
    """
    return {name: partial(_open_named, name, picture) for name, picture in pictures.items()}


def _open_named(name: str, picture: Picture) -> Image.Image:
    try:
        return open_picture(picture)
    except ImageReadError as error:
        raise DatasetError(f"image {name!r}, {picture.path}: {error}") from error


def content_key(picture: Picture, hash_file: Callable[[Path], str]) -> str:
    """What identifies the pixels: the file's hash, and the cut."""
    content = hash_file(picture.path)
    return content if picture.crop is None else f"{content}|{picture.crop}"
