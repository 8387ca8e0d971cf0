"""Views of a training picture: cropped, mirrored, lit differently."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


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
