"""What may be encoded: a picture file, a box cut out of one, a stretch of a tar shard."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from composir.data.files import open_regular
from composir.errors import ImageReadError
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.types import PixelArray

_PART = 1 << 20


@dataclass(frozen=True, slots=True)
class CropBox:
    """Part of a picture, as GeneCIS cuts instances out of Visual Genome.

    Attributes:
        box: Left, top, width, height in pixels.
        dilation: How much of the box's size is added before and after it; 0 for none.
        square: Whether the cut is padded with black to a square.
    """

    box: tuple[float, float, float, float]
    dilation: float = 0.0
    square: bool = False


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where a picture is to be found, and which part of it counts.

    Attributes:
        path: The file, or the tar shard that it lies in.
        crop: The part that counts; None for all of it.
        begin: Where its bytes begin in a shard; 0 for a file of its own.
        size: How many bytes it has in a shard; None for a file of its own.
        member: What it is called in a shard; empty for a file of its own.
    """

    path: Path
    crop: CropBox | None = None
    begin: int = 0
    size: int | None = None
    member: str = ""

    @property
    def name(self) -> str:
        """What it is called wherever its folder lies; augmented views are drawn by it."""
        return self.member or self.path.name

    def open(self, *, min_side: int | None = None) -> Image.Image:
        """Decode and cut it; RGB, upright.

        Args:
            min_side: Whole pictures may be decoded smaller, down to this short side in pixels; cut
                ones are always decoded in full, because boxes are in the file's pixels.
        """
        source = self.source()
        if self.crop is None:
            return read_image(source, min_side=min_side).rgb
        return cut(read_image(source).rgb, self.crop)

    def digest(self) -> str:
        """SHA-256 of its bytes, as hexadecimal digits."""
        digest, left = hashlib.sha256(), self.size
        with open_regular(self.path) as file:
            file.seek(self.begin)
            while part := file.read(_PART if left is None else min(_PART, left)):
                digest.update(part)
                left = None if left is None else left - len(part)
        return digest.hexdigest()

    @property
    def stretch(self) -> str:
        """What tells it from others in its file; empty for a file of its own."""
        return "" if self.size is None else f"{self.begin}+{self.size}"

    def source(self) -> Path | bytes:
        """What it is decoded from."""
        if self.size is None:
            return self.path
        try:
            with open_regular(self.path) as shard:
                shard.seek(self.begin)
                return shard.read(self.size)
        except OSError as error:
            raise ImageReadError(f"its shard cannot be read: {error.strerror}") from error


def cut(rgb: Image.Image, crop: CropBox) -> Image.Image:
    """Cut a box out of a picture, dilated and squared as the crop says."""
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


def read_pixels(
    picture: ImageFile, spec: PreprocessSpec, view: int = 0, min_side: int | None = None
) -> PixelArray | str:
    """A picture as an encoder takes it, or why it cannot be read.

    Args:
        picture: Which.
        spec: Preprocessing of the encoder.
        view: 0 for the plain picture; 1 and up for augmented ones, drawn by the picture's name and
            this number alone, so that every encoder sees the same crop.
        min_side: The short side that is enough, in pixels; None for the specification's.

    Returns:
        (s, s, 3) uint8, or the reason.
    """
    try:
        rgb = picture.open(min_side=min_side or spec.min_side)
        if view:
            seed = hashlib.sha256(f"{picture.name}/{view}".encode()).digest()[:8]
            rgb = augment(rgb, np.random.default_rng(int.from_bytes(seed, "big")))
        return spec.apply(rgb)
    except (ImageReadError, OSError) as error:
        return str(error)


def augment(rgb: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Crop, mirror and vary light; hue is left alone, because texts name colours."""
    area = generator.uniform(0.45, 1.0)
    stretch = np.exp(generator.uniform(-0.2, 0.2))
    width = min(1.0, float(np.sqrt(area) * stretch)) * rgb.width
    height = min(1.0, float(np.sqrt(area) / stretch)) * rgb.height
    left = generator.uniform(0, rgb.width - width)
    top = generator.uniform(0, rgb.height - height)
    view = rgb.crop((round(left), round(top), round(left + width), round(top + height)))
    if generator.random() < 0.5:
        view = ImageOps.mirror(view)
    view = ImageEnhance.Brightness(view).enhance(generator.uniform(0.85, 1.15))
    return ImageEnhance.Contrast(view).enhance(generator.uniform(0.85, 1.15))
