"""RGB picture to model input, by a specification that lives in the bundle.

Everything that changes the pixels a model sees is a field here, recorded and never implied;
scaling to floats and normalisation happen inside the exported graph, so that what travels between
decoder and encoder is one byte a channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from composir.data.fields import ManifestPart
from composir.errors import ImageReadError
from composir.images.resampling import REDUCING_GAP, model_input, window
from composir.types import PixelArray

Rule: TypeAlias = Literal["transformers", "open_clip"]
"""Whose way of rounding."""

_Channel: TypeAlias = Annotated[int, Field(ge=0, le=255)]


class PreprocessSpec(ManifestPart):
    """How a picture becomes model input.

    Attributes:
        size: Side of the square input, pixels.
        fit: `squash` ignores the aspect ratio; `centre-crop` scales the short side and crops the
            middle; `pad` scales the long side and pads; `targetpad` pads only what exceeds
            `pad_ratio` (width to height, as in CLIP4Cir) and then crops the middle.
        pad_ratio: For `targetpad` only.
        pad_colour: Red, green and blue (0 to 255) of what is padded. Black, as in CLIP4Cir; 255
            times `mean` gives zeros after normalisation.
        interpolation: Resampling filter.
        mean: Per channel, on the 0 to 1 scale; applied inside the graph, kept here as a record.
        std: Likewise.
        exact: Whose processor the pixels are to equal, for models that somebody else trained: the
            whole picture is scaled without a shortcut and cropped at whole pixels, as
            `transformers` (its `pil` backend) or `open_clip` does it. None: faster, and close.
        short_side: What `transformers` scales the short side to before it crops; None for `size`.
    """

    later: ClassVar[frozenset[str]] = frozenset({"exact", "short_side"})

    size: int = Field(gt=0, le=2048)
    fit: Literal["squash", "centre-crop", "pad", "targetpad"] = "centre-crop"
    pad_ratio: float = Field(default=1.25, ge=1.0)
    pad_colour: tuple[_Channel, _Channel, _Channel] = (0, 0, 0)
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    exact: Rule | None = None
    short_side: int | None = Field(default=None, gt=0, le=4096)

    @model_validator(mode="after")
    def _check_exact(self) -> Self:
        fits = {
            "transformers": ("squash", "centre-crop"),
            "open_clip": ("squash", "centre-crop", "pad"),
        }
        if self.exact is not None and self.fit not in fits[self.exact]:
            raise ValueError(f"{self.exact} has no fit {self.fit}, so none is exact")
        if self.short_side and (self.exact, self.fit) != ("transformers", "centre-crop"):
            raise ValueError("short_side is for exact centre crops of transformers alone")
        return self

    @property
    def min_side(self) -> int | None:
        """The short side in pixels that a decoder need not exceed for this input.

        More would be halved at once by `apply`; a JPEG decodes to half its size for far less. None
        where every pixel counts, so that nothing but the full size will do.
        """
        return None if self.exact else math.ceil(REDUCING_GAP * self.size)

    def apply(self, rgb: Image.Image) -> PixelArray:
        """Turn one picture into model input.

        Needs little memory beside the input, whatever the picture's shape.

        Returns:
            uint8 array of shape (size, size, 3).

        Raises:
            ImageReadError: If the picture is of another mode or has no pixels, or is so long that
                an exact specification which shows all of it needs too much memory.
        """
        if rgb.mode != "RGB" or 0 in rgb.size:
            raise ImageReadError(
                f"a picture of mode {rgb.mode} and {rgb.width} x {rgb.height} pixels cannot go to "
                "a model: read it with composir.images.read_image first"
            )
        try:
            return np.array(model_input(rgb, self), dtype=np.uint8)
        except ValueError as error:
            raise ImageReadError(str(error)) from error

    def apply_each(self, pictures: Iterable[Image.Image]) -> PixelArray:
        """Turn n pictures into model input, (n, size, size, 3) uint8, as `apply` does one."""
        pixels = [self.apply(rgb) for rgb in pictures]
        return np.stack(pixels) if pixels else np.empty((0, self.size, self.size, 3), np.uint8)

    def window(self, rgb: Image.Image) -> tuple[float, float]:
        """Width and height of the part of the plane that becomes the input, in picture pixels.

        It lies over the middle of the picture, and reaches beyond it where there is padding.
        """
        return window(rgb.width, rgb.height, self)
