"""Ranking what a served store holds, by the same rules as a gallery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from composir.compose.base import ComposedQueries
from composir.gallery.approximate import FEW_MATCHES, SAMPLE, ProposedRanking
from composir.gallery.expressions import Columns, Expression, Kind
from composir.gallery.filters import parsed
from composir.gallery.ranking import Candidate
from composir.gallery.rows import unit_rows
from composir.scale.served_store import Inventory, ServedStore, StoredRow, answering
from composir.types import FloatArray


class StoredProposals:
    """Rows that a store proposes."""

    def __init__(self, found: list[StoredRow], inventory: Inventory) -> None:
        """Hold them, none twice."""
        self._found = list({row.id: row for row in found}.values())
        self._kinds = inventory.kinds
        held = [row.vector for row in self._found]
        self.vectors = np.stack(held) if held else np.zeros((0, inventory.dimension), np.float32)

    def candidates(self, chosen: NDArray[np.int64], scores: FloatArray) -> list[Candidate]:
        """Those at some positions."""
        return [
            self._found[place].candidate(float(score), self._kinds)
            for place, score in zip(chosen, scores, strict=True)
        ]


class ServedRanker:
    """Ranks by what a store finds nearest; scores are the query's own, over vectors sent back."""

    def __init__(self, store: ServedStore, inventory: Inventory) -> None:
        """Rank a store that has an inventory."""
        self._store, self._inventory = store, inventory
        with answering(store):
            self._size = store.count(None)

    @property
    def size(self) -> int:
        """Number of images."""
        return self._size

    def rank(self, composed: ComposedQueries, where: str | None) -> ProposedRanking:
        """Rank for one composed query."""
        tree = None if where is None else self._tree(where)
        with answering(self._store):
            searched = self._size if tree is None else self._store.count(tree)
            sample = self._store.sample(SAMPLE, tree)
            whole = sample
            if composed.rules_out and tree is not None:
                whole = self._store.sample(SAMPLE, None)
        penalties = composed.penalties(whole)[0] if composed.rules_out else None

        def propose(queries: FloatArray, count: int) -> StoredProposals:
            found: list[StoredRow] = []
            with answering(self._store):
                for query in queries:
                    exact = searched <= FEW_MATCHES
                    found += self._store.nearest(query, min(count, searched), tree, exact=exact)
            return StoredProposals(found, self._inventory)

        background = composed.similarities(sample)[0]
        return ProposedRanking(propose, composed, searched, background, penalties)

    def _tree(self, where: str) -> Expression:
        kinds: dict[str, Kind] = dict(self._inventory.kinds)
        return parsed(where, Columns(kinds, lambda _name: None))


def row_vectors(vectors: Sequence[Sequence[float]], dimension: int) -> FloatArray:
    """Vectors as a store sends them, (n, D) float32 of unit norm."""
    return unit_rows(np.asarray(vectors, dtype=np.float32).reshape(-1, dimension))
