"""Preprocessing; an exported client has `composir/images/resampling.py` itself in this place."""

from composir.images.resampling import model_input

__all__ = ["model_input"]
