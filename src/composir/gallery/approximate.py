"""Ranking a large gallery through Lance's vector index.

The index (inverted lists of RaBitQ codes, IVF_RQ) proposes candidates for each vector of the query,
and the composed query's own rule scores their stored vectors exactly. What a filter leaves few of
is scored exactly without the index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from composir.compose.base import ComposedQueries
from composir.compose.unwanted import Penalties
from composir.gallery.ranking import (
    Candidate,
    CandidateRows,
    ExactRanking,
    Matches,
    Scores,
    best_positions,
    candidates,
)
from composir.gallery.store import Store
from composir.types import FloatArray

SAMPLE = 4096
FEW_MATCHES = 20_000
_LIST_ROWS = 4096  # that Lance aims at for each of its lists
_LISTS = 64  # looked through at least
_SHARE_OF_LISTS = 4  # a quarter of them: texts lie far from all pictures, and near no one list
_FEWEST = 100  # proposed at least, as codes order them only roughly
_PRODUCT_FACTOR = 10
_PENALISED_FACTOR = 10
_WIDEST = 16_384


class ApproximateRanker:
    """Ranks by the index, and by a fixed sample of the gallery where the whole is asked about."""

    def __init__(self, store: Store, seed: int = 0) -> None:
        """Rank a store that has an index; the seed chooses the sample."""
        self._store, self._seed = store, seed
        self._rows, self._matches = CandidateRows(store), Matches(store)
        self.size = len(store)
        self._sample: FloatArray | None = None

    def rank(self, composed: ComposedQueries, where: str | None) -> ExactRanking | ProposedRanking:
        """Rank for one composed query."""
        penalties = composed.penalties(self._whole_sample())[0] if composed.rules_out else None
        if where is None:
            background = composed.similarities(self._whole_sample())[0]
            propose = partial(self._propose, None, self.size)
            return ProposedRanking(propose, composed, self.size, background, penalties)
        from composir.gallery.filters import lance_filter

        positions = self._matches(where)
        if len(positions) <= FEW_MATCHES:
            return self._rank_few(composed, penalties, positions)
        background = composed.similarities(self._vectors(self._drawn(positions)))[0]
        propose = partial(self._propose, lance_filter(self._store, where), len(positions))
        return ProposedRanking(propose, composed, len(positions), background, penalties)

    def _propose(
        self, where: str | None, searched: int, queries: FloatArray, count: int
    ) -> _RowProposals:
        import pyarrow as pa

        wanted = max(count, _FEWEST)
        nearest: dict[str, Any] = {"column": "vector", "k": min(wanted, searched)}
        whole = wanted >= searched
        lists = max(_LISTS, self.size // _LIST_ROWS // _SHARE_OF_LISTS)
        nearest |= {"use_index": False} if whole else {"nprobes": lists}
        columns = ["_rowoffset", "vector"]
        found = [
            self._store.nearest(columns, nearest | {"q": query, "metric": "cosine"}, where)
            for query in queries
        ]
        table = pa.concat_tables(found)
        positions, first = np.unique(table["_rowoffset"].to_numpy(), return_index=True)
        vectors = self._store.unit_vectors(table["vector"].take(first))
        return _RowProposals(self._rows, positions.astype(np.int64), vectors)

    def _rank_few(
        self,
        composed: ComposedQueries,
        penalties: Penalties | None,
        positions: NDArray[np.int64],
    ) -> ExactRanking:
        vectors = self._vectors(positions)
        scores = Scores.of(composed, penalties, vectors)
        return ExactRanking(self._rows, scores, positions, vectors.__getitem__)

    def _whole_sample(self) -> FloatArray:
        if self._sample is None:
            self._sample = self._vectors(self._drawn(np.arange(self.size)))
        return self._sample

    def _drawn(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(positions) <= SAMPLE:
            return positions
        generator = np.random.default_rng(self._seed)
        return np.sort(generator.choice(positions, SAMPLE, replace=False))

    def _vectors(self, positions: NDArray[np.int64]) -> FloatArray:
        table = self._store.take(positions.tolist(), ["vector"])
        return self._store.unit_vectors(table["vector"])


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
