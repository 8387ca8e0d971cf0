"""RGB picture to model input, by a specification that lives in the bundle.

Everything that changes the pixels a model sees is a field here, recorded and never implied;
scaling to floats and normalisation happen inside the exported graph, so that what travels between
decoder and encoder is one byte a channel.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from composir.types import PixelArray

_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class PreprocessSpec(BaseModel):
    """How a picture becomes model input.

    Attributes:
        size: Side of the square input, pixels.
        fit: `squash` ignores the aspect ratio; `centre-crop` scales the short side and crops the
            middle; `pad` scales the long side and pads; `targetpad` pads only what exceeds
            `pad_ratio` (width to height, as in CLIP4Cir) and then crops the middle.
        pad_ratio: For `targetpad` only.
        interpolation: Resampling filter.
        mean: Per channel, on the 0 to 1 scale; applied inside the graph, kept here as a record.
        std: Likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(gt=0, le=2048)
    fit: Literal["squash", "centre-crop", "pad", "targetpad"] = "centre-crop"
    pad_ratio: float = Field(default=1.25, ge=1.0)
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def apply(self, rgb: Image.Image) -> PixelArray:
        """Turn one picture into model input.

        Args:
            rgb: Any Pillow image of mode `RGB`.

        Returns:
            uint8 array of shape (size, size, 3).
        """
        resample = _RESAMPLE[self.interpolation]
        side = (self.size, self.size)
        if self.fit == "squash":
            fitted = rgb.resize(side, resample, reducing_gap=3.0)
        else:
            fitted = self._padded(rgb).resize(
                side, resample, box=self._centre_box(self._padded_size(rgb)), reducing_gap=3.0
            )
        return np.asarray(fitted, dtype=np.uint8)

    def _padded_size(self, rgb: Image.Image) -> tuple[int, int]:
        long, short = max(rgb.size), min(rgb.size)
        if self.fit == "pad":
            return long, long
        if self.fit == "targetpad" and long / short >= self.pad_ratio:
            short = max(short, round(long / self.pad_ratio))
        return (long, short) if rgb.width >= rgb.height else (short, long)

    def _padded(self, rgb: Image.Image) -> Image.Image:
        size = self._padded_size(rgb)
        if size == rgb.size:
            return rgb
        canvas = Image.new("RGB", size)
        canvas.paste(rgb, ((size[0] - rgb.width) // 2, (size[1] - rgb.height) // 2))
        return canvas

    @staticmethod
    def _centre_box(size: tuple[int, int]) -> tuple[float, float, float, float]:
        width, height = size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side
