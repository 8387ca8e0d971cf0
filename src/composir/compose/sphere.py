"""Arithmetic on unit vectors that composers share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from composir.errors import QueryError
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

_NOTHING_LEFT = 1e-3


def normalised(vectors: FloatArray) -> FloatArray:
    """Scale each row to unit norm; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def pushed_away(
    vectors: FloatArray,
    negatives: Sequence[Sequence[str]],
    model: EmbeddingModel,
    weight: float,
) -> FloatArray:
    """Turn queries away from what must not be there.

    Args:
        vectors: (n, D) float32, unit norm.
        negatives: Up to n lists of negative texts.
        model: Encodes them.
        weight: How far, relative to unit norm.

    Returns:
        (n, D) float32: `normalise(query - weight * sum of negatives)`, unit norm.

    Raises:
        QueryError: If negatives take away all that a query asks for.
    """
    pushed = vectors.copy()
    for row, unwanted in enumerate(negatives):
        if unwanted:
            pushed[row] -= np.float32(weight) * model.encode_texts(unwanted).sum(axis=0)
            if np.linalg.norm(pushed[row]) < _NOTHING_LEFT:
                raise QueryError(
                    "what must not be there is all that is asked for "
                    f"({', '.join(repr(text) for text in unwanted)}): nothing is left to look for"
                )
    return normalised(pushed)
