"""One version of a gallery, with what searching it needs, loaded on first use."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from composir.gallery.approximate import ApproximateRanker
from composir.gallery.matrix import load_matrix
from composir.gallery.ranking import CODED_FROM, ExactRanker, Ranker
from composir.gallery.store import Store


class Snapshot:
    """A store at a fixed version and its ranker."""

    def __init__(
        self, store: Store, folder: Path, exact_limit: int, *, matrix_anew: bool = False
    ) -> None:
        """Wrap a store."""
        self.store, self._folder, self._exact_limit = store, folder, exact_limit
        self._matrix_anew = matrix_anew

    @cached_property
    def ranker(self) -> Ranker:
        """Ranks this version."""
        if len(self.store) > self._exact_limit and self.store.has_index():
            return ApproximateRanker(self.store)
        matrix = load_matrix(self.store, self._folder, anew=self._matrix_anew)
        if len(matrix) <= CODED_FROM:
            return ExactRanker(self.store, matrix)
        from composir.gallery.codes import load_codes

        codes = load_codes(self.store, matrix, anew=self._matrix_anew)
        return ExactRanker(self.store, matrix, codes)

    def prepare(self) -> None:
        """Make what the first search would otherwise have to make."""
        _ = self.ranker
