"""The exact ranking of many images: bounds from eight-bit codes first, then the scores that count.

The codes say between which bounds every score lies. An image whose upper bound is below the lower
bounds of `count` others is not among the best `count`; the vectors of all others are scored. The
result is that of scoring everything, ties included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.compose.base import ComposedQueries
from composir.compose.unwanted import Penalties
from composir.gallery.codes import Codes, Products
from composir.gallery.matrix import MatrixDamagedError
from composir.gallery.ranking import (
    Candidate,
    CandidateRows,
    Scores,
    best_positions,
    candidates,
)
from composir.types import FloatArray

Positions: TypeAlias = slice | NDArray[np.int64]
ALL = slice(None)

_ROUNDING = 1e-5
_SCORED = 128  # vectors scored at a time: fresh memory costs more than what is done with it
_GATHERED = 0.2  # of the codes: below this share, gathering rows beats multiplying all of them


class _Bounds:
    """Between which bounds the scores of n images lie."""

    def __init__(
        self, composed: ComposedQueries, penalties: Penalties | None, products: Products
    ) -> None:
        self._products, wanted = products, composed.vectors.shape[1]
        axes = np.eye(products.middle.shape[1], dtype=np.float32)
        # The query's own rules, applied to images whose coordinates are their products.
        self._ruled = replace(composed, vectors=axes[None, :wanted], unwanted=())
        self._taken = penalties and replace(penalties, directions=axes[wanted:])

    @property
    def similarities(self) -> FloatArray:
        """(n,) float32, in the middle, to what is wanted alone."""
        return self._similarities(self._products.middle)

    def at(self, positions: Positions = ALL) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds of some, float32."""
        return self._shifted(positions, -1.0), self._shifted(positions, 1.0)

    def survivors(self, count: int) -> NDArray[np.int64]:
        """Positions of all that may be among the best, in order."""
        size = len(self._products.middle)
        if count >= size:
            return np.arange(size)
        low = self._shifted(ALL, -1.0)
        low.partition(size - count)
        least = low[size - count]
        return np.flatnonzero(self._shifted(ALL, 1.0) >= least - _ROUNDING * (1.0 + abs(least)))

    def _shifted(self, positions: Positions, sign: float) -> FloatArray:
        middle, margin = self._products.middle[positions], self._products.margin[positions]
        scores = self._similarities(middle + sign * margin)
        return scores if self._taken is None else scores - self._taken(middle - sign * margin)

    def _similarities(self, products: FloatArray) -> FloatArray:
        if self._ruled.rule == "dot":
            return products[:, 0]
        found: FloatArray = self._ruled.similarities(products)[0]
        return found


class CodedRanking:
    """The ranking of all images that passed the filter."""

    def __init__(
        self,
        table: CandidateRows,
        matrix: FloatArray,
        codes: Codes,
        composed: ComposedQueries,
        penalties: Penalties | None,
        positions: NDArray[np.int64] | None,
    ) -> None:
        """Look through the codes.

        Args:
            table: The images' rows.
            matrix: (n, D) float32, their vectors.
            codes: Of the matrix.
            composed: The query.
            penalties: For what is unwanted.
            positions: (m,) which rows passed the filter; None for all.
        """
        self._table, self._matrix, self._positions = table, matrix, positions
        self._composed, self._penalties = composed, penalties
        directions = composed.vectors[0]
        if penalties is not None:
            directions = np.concatenate([directions, penalties.directions])
        if positions is None or len(positions) < _GATHERED * len(matrix):
            products = codes.products(directions, positions)
        else:
            products = codes.products(directions).at(positions)
        self._bounds = _Bounds(composed, penalties, products)
        self._searched = len(products.middle)

    @property
    def searched(self) -> int:
        """Number of images that passed the filter."""
        return self._searched

    @property
    def background(self) -> FloatArray:
        """All similarities to what is wanted, within the margins of the codes."""
        return self._bounds.similarities

    def best(self, count: int) -> list[Candidate]:
        """The best images, best first; equal scores in the order of the rows."""
        places, scores = self.places(count)
        return candidates(self._table.take(places), scores, self._matrix[places])

    def places(self, count: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Rows and scores of the best."""
        survivors = self._bounds.survivors(count)
        scores = np.concatenate([*self._scored(survivors), np.zeros(0, dtype=np.float32)])
        chosen = best_positions(scores, count)
        return self._rows(survivors[chosen]), scores[chosen]

    def _scored(self, survivors: NDArray[np.int64]) -> Iterator[FloatArray]:
        """In double precision: so equal vectors have equal scores, wherever they lie."""
        for begin in range(0, len(survivors), _SCORED):
            part = survivors[begin : begin + _SCORED]
            vectors: Any = self._matrix[self._rows(part)].astype(np.float64)
            scores = Scores.of(self._composed, self._penalties, vectors).final
            slack = _ROUNDING * (1.0 + np.abs(scores))
            low, high = self._bounds.at(part)
            if not ((low - slack <= scores) & (scores <= high + slack)).all():  # nor is NaN
                raise MatrixDamagedError
            yield scores

    def _rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return positions if self._positions is None else self._positions[positions]
