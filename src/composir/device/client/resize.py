"""Preprocessing; an exported client has `composir/images/resize.py` itself in this place."""

from composir.images.resize import model_input

__all__ = ["model_input"]
