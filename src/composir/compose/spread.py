"""How far a vector's similarities spread over pictures, and vectors evened by it.

Cosines of pictures to a text differ little, to a picture much, and how much depends on the query. A
sum of both vectors therefore asks for whichever happens to spread more, whatever the weights say.
Divided by its spread first, each vector says as much as its weight. With S the covariance of the
vectors of many unrelated pictures, the spread of x is the root of `x' S x`; models keep a factor F
with `F'F = S`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np

from composir.errors import QueryError
from composir.types import FloatArray

Evening: TypeAlias = Callable[[str, FloatArray], FloatArray]
"""From a term's name and its vectors, (n, D), to what they are multiplied with, (n, 1)."""

_NOTHING = 1e-6
_Known = TypeVar("_Known")


def factor_of(vectors: FloatArray) -> FloatArray:
    """The symmetric root F of the covariance of pictures' vectors.

    Args:
        vectors: (n, D) float32, of many unrelated pictures.

    Returns:
        (D, D) float32.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    root = (axes * np.sqrt(np.clip(variances, 0.0, None))) @ axes.T
    return np.asarray(root, dtype=np.float32)


def evening_factors(vectors: FloatArray, factor: FloatArray) -> FloatArray:
    """What evens vectors: one by the spread of each.

    Args:
        vectors: (n, D) float32, of any norm.
        factor: (r, D) float32: F.

    Returns:
        (n, 1) float32; 0 of vectors that are nothing.
    """
    spreads = np.linalg.norm(vectors @ factor.T, axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    safe = np.maximum(spreads, _NOTHING * np.maximum(lengths, _NOTHING))
    return np.where(lengths > _NOTHING, 1.0 / safe, 0.0).astype(np.float32)


def evened(vectors: FloatArray, factor: FloatArray | None, power: float) -> FloatArray:
    """Vectors divided by a power of their spread, (n, D); as they are for power 0.

    Raises:
        QueryError: If the factor is not known.
    """
    if not power:
        return vectors
    return vectors * evening_factors(vectors, known(factor)) ** np.float32(power)


def known(what: _Known | None) -> _Known:
    """What a model must know of its spread.

    Raises:
        QueryError: If it does not.
    """
    if what is None:
        raise QueryError("this model does not know its spread (`spread`): set evened to 0")
    return what


def evening_by(factor: FloatArray | None) -> Evening | None:
    """What evens the terms of a blend; None without a factor."""
    return None if factor is None else partial(_evening, factor)


def _evening(factor: FloatArray, _name: str, vectors: FloatArray) -> FloatArray:
    return evening_factors(vectors, factor)
