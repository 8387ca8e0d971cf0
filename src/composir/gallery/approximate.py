"""Ranking a large gallery through Lance's vector index.

The index (inverted lists of RaBitQ codes, IVF_RQ) proposes candidates for each vector of the query,
and the composed query's own rule scores their stored vectors exactly. What a filter leaves few of
is scored exactly without the index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from composir.compose.base import ComposedQueries
from composir.compose.unwanted import Penalties
from composir.gallery.ranking import (
    Candidate,
    CandidateRows,
    ExactRanking,
    Scores,
    best_positions,
    candidates,
    remembering,
)
from composir.gallery.store import EXACT_LIMIT, Store
from composir.types import FloatArray

SAMPLE = 4096
FEW_MATCHES = 20_000
# Looked through at a million rows, a quarter of all: texts lie far from all pictures, and near no
# one list. Of ten times the rows five times as many, an eighth (benchmarks/ten_million.py).
_LISTS, _GROWTH = 64, 0.7
_FEWEST = 100  # proposed at least, as codes order them only roughly
_WIDER, _MOST_WIDER = 2, 5000  # proposals beside a filter, times what it should leave; at most
_PRODUCT_FACTOR = 10
_PENALISED_FACTOR = 10
_WIDEST = 16_384


@dataclass(frozen=True, slots=True)
class _Part:
    """What a filter lets through of a gallery, or all of it.

    Attributes:
        size: Number of images.
        sample: (s, D) float32, unit norm: vectors of a fixed sample, of all where they are few.
        positions: (size,) int64, rising; None for all.
        where: The filter as Lance takes it.
    """

    size: int
    sample: FloatArray
    positions: NDArray[np.int64] | None = None
    where: str | None = None

    def passed(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some positions that the filter lets through."""
        if self.positions is None:
            return found
        places = np.searchsorted(self.positions, found).clip(max=self.size - 1)
        return np.asarray(found[self.positions[places] == found], dtype=np.int64)


class ApproximateRanker:
    """Ranks by the index, and by a fixed sample of the gallery where the whole is asked about."""

    def __init__(self, store: Store, seed: int = 0) -> None:
        """Rank a store that has an index; the seed chooses the sample."""
        self._store, self._seed, self._rows = store, seed, CandidateRows(store)
        self.size = len(store)
        self._filtered = remembering(partial(_filtered, store, seed))

    def rank(self, composed: ComposedQueries, where: str | None) -> ExactRanking | ProposedRanking:
        """Rank for one composed query."""
        penalties = composed.penalties(self._whole.sample)[0] if composed.rules_out else None
        part = self._whole if where is None else self._filtered(where)
        if part.positions is not None and part.size <= FEW_MATCHES:
            scores = Scores.of(composed, penalties, part.sample)
            return ExactRanking(self._rows, scores, part.positions, part.sample.__getitem__)
        background = composed.similarities(part.sample)[0]
        propose = partial(self._propose, part)
        return ProposedRanking(propose, composed, part.size, background, penalties)

    def _propose(self, part: _Part, queries: FloatArray, count: int) -> _RowProposals:
        wanted = min(max(count, _FEWEST), part.size)
        found = [self._nearest(part, query, wanted) for query in queries]
        positions = np.unique(np.concatenate(found))
        return _RowProposals(self._rows, positions, _vectors(self._store, positions))

    def _nearest(self, part: _Part, query: FloatArray, wanted: int) -> NDArray[np.int64]:
        """Positions near to a vector: as many as wanted, or all that the probed lists hold.

        A filter that lets much through costs Lance more than looking further without it.
        """
        wider = _WIDER * wanted * self.size // max(part.size, 1)
        if part.where is not None and wider <= _MOST_WIDER:
            passed = part.passed(self._asked(query, wider, None))
            if len(passed) >= wanted:
                return passed[:wanted]
        return self._asked(query, wanted, part.where, everywhere=wanted == part.size)

    def _asked(
        self, query: FloatArray, count: int, where: str | None, *, everywhere: bool = False
    ) -> NDArray[np.int64]:
        lists = round(_LISTS * max(1.0, self.size / EXACT_LIMIT) ** _GROWTH)
        nearest: dict[str, Any] = {"column": "vector", "q": query, "metric": "cosine", "k": count}
        nearest |= {"use_index": False} if everywhere else {"nprobes": lists}
        offsets = self._store.nearest(["_rowoffset"], nearest, where)["_rowoffset"]
        return np.asarray(offsets.to_numpy(), dtype=np.int64)

    @cached_property
    def _whole(self) -> _Part:
        drawn = _drawn(np.arange(self.size), self._seed)
        return _Part(self.size, _vectors(self._store, drawn))


def _filtered(store: Store, seed: int, where: str) -> _Part:
    from composir.gallery.filters import lance_filter, matching_positions

    positions = matching_positions(store, where)
    sampled = positions if len(positions) <= FEW_MATCHES else _drawn(positions, seed)
    sample = _vectors(store, sampled)
    return _Part(len(positions), sample, positions, lance_filter(store, where))


def _drawn(positions: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    if len(positions) <= SAMPLE:
        return positions
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(positions, SAMPLE, replace=False))


def _vectors(store: Store, positions: NDArray[np.int64]) -> FloatArray:
    return store.unit_vectors(store.take(positions.tolist(), ["vector"])["vector"])


class Proposals(Protocol):
    """Images that an index proposes.

    Attributes:
        vectors: (n, D) float32, unit norm.
    """

    vectors: FloatArray

    def candidates(self, chosen: NDArray[np.int64], scores: FloatArray) -> list[Candidate]:
        """Those at some positions."""


@dataclass(frozen=True, slots=True)
class ProposedRanking:
    """What an index proposes for each vector of a query, scored by the query's own rule."""

    # The images nearest to each of (m, D) vectors, so many for each, none twice.
    propose: Callable[[FloatArray, int], Proposals]
    composed: ComposedQueries
    searched: int  # how many images pass the filter
    background: FloatArray  # (s,) similarities of a sample of them
    penalties: Penalties | None = None  # for what is unwanted

    def best(self, count: int) -> list[Candidate]:
        """The best images, best first.

        The index knows nothing of what is unwanted, so more are fetched until none of the others
        could be better: what they lose for it only makes them worse.
        """
        if self.penalties is None:
            return self._best_of(self._fetched(count), count)[0]
        window = count * _PENALISED_FACTOR
        while True:
            found, settled = self._best_of(self._fetched(window), count)
            if settled or window >= min(self.searched, _WIDEST):
                return found
            window *= 4

    def _fetched(self, count: int) -> Proposals:
        queries = self.composed.vectors[0]
        return self.propose(queries, count if len(queries) == 1 else count * _PRODUCT_FACTOR)

    def _best_of(self, found: Proposals, count: int) -> tuple[list[Candidate], bool]:
        """The best of some, and whether those that were not fetched must all be worse."""
        scores = Scores.of(self.composed, self.penalties, found.vectors)
        if not len(scores.final):
            return [], True
        chosen = best_positions(scores.final, count)
        settled = len(chosen) == count and scores.final[chosen[-1]] >= scores.similarities.min()
        return found.candidates(chosen, scores.final[chosen]), bool(settled)


@dataclass(slots=True)
class _RowProposals:
    """Rows of a gallery's table, in their order."""

    rows: CandidateRows
    positions: NDArray[np.int64]  # (n,)
    vectors: FloatArray  # (n, D) float32, unit norm

    def candidates(self, chosen: NDArray[np.int64], scores: FloatArray) -> list[Candidate]:
        """Those at some positions."""
        table = self.rows.take(self.positions[chosen])
        return candidates(table, scores, self.vectors[chosen])
