"""Attention as a transparent picture to lay over the reference."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray

_LONG_SIDE = 192
# Red, green, blue and opacity (0 to 1) from where nothing was looked at to the strongest place.
_STOPS = np.array(
    [[20, 20, 30, 0.62], [70, 25, 110, 0.52], [225, 80, 40, 0.5], [255, 200, 70, 0.42]],
    dtype=np.float32,
)


def heat_overlay(attention: FloatArray, size: tuple[int, int], spec: PreprocessSpec) -> bytes:
    """Colour an attention map to lie over the whole reference.

    What the encoder never saw (cut off by the layout of its input) counts as not looked at.

    Args:
        attention: (h, w), not negative.
        size: Width and height of the reference in any unit; the overlay has its shape.
        spec: How the reference was laid out for the encoder.

    Returns:
        PNG of at most 192 pixels a side, with transparency.
    """
    scale = _LONG_SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    canvas = Image.new("F", (width, height), 0.0)
    seen = spec.window(Image.new("L", (width, height)))
    window = max(1, round(seen[0])), max(1, round(seen[1]))
    strongest = max(float(attention.max()), 1e-12)
    patch = Image.fromarray(np.asarray(attention / strongest, dtype=np.float32))
    smooth = patch.resize(window, Image.Resampling.BICUBIC)
    canvas.paste(smooth, ((width - window[0]) // 2, (height - window[1]) // 2))
    return _png(_coloured(np.clip(np.asarray(canvas), 0.0, 1.0)))


def _coloured(heat: FloatArray) -> Image.Image:
    places = np.linspace(0.0, 1.0, len(_STOPS))
    channels = [np.interp(heat, places, _STOPS[:, channel]) for channel in range(4)]
    rgba = np.stack([*channels[:3], 255 * channels[3]], axis=-1)
    return Image.fromarray(np.rint(rgba).astype(np.uint8))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
