"""Any picture file to RGB safely: formats, colour, EXIF, and a model's preprocessing."""

from composir.images.read import read_image

__all__ = ["read_image"]
