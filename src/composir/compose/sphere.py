"""Arithmetic on unit vectors that composers share."""

from __future__ import annotations

import numpy as np

from composir.types import FloatArray


def normalised(vectors: FloatArray) -> FloatArray:
    """Scale each row to unit norm; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
