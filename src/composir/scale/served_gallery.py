"""Searching a served store: the same query, model, composers and answer as of a gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from composir.compose.base import Composer
from composir.errors import BundleMismatchError, QueryError, StoreError
from composir.gallery.composers import ComposerShelf
from composir.gallery.gallery import Missing
from composir.gallery.manifest import BundleIdentity
from composir.gallery.origin import load_origin
from composir.gallery.prepare import in_background, steps
from composir.gallery.search import SearchSettings, answer
from composir.model.base import EmbeddingModel
from composir.scale.served_ranker import ServedRanker
from composir.scale.served_store import ServedStore, answering
from composir.types import Query, SearchResult, SortOrder, check_query


class ServedGallery:
    """A store that `composir export vectors` has filled, to search."""

    def __init__(
        self, store: ServedStore, open_model: Callable[[str | Path], EmbeddingModel]
    ) -> None:
        """Open the model that made a store's vectors.

        Args:
            store: From `composir.scale.open_store`.
            open_model: Opens a model by name or folder.

        Raises:
            StoreError: If the store does not answer, or nothing of composir's is in it.
            BundleMismatchError: If its model is not to be had.
        """
        self.store = store
        with answering(self.store):
            held = self.store.inventory()
        if held is None:
            raise StoreError(
                f"the store {self.store.shown} holds nothing yet; fill it: composir export vectors "
                f"--to {self.store.shown}"
            )
        self.inventory = held
        bundle = BundleIdentity(held.bundle, held.fingerprint, held.dimension)
        self.model = load_origin(bundle, self.store.shown, open_model)
        if self.model.fingerprint != held.fingerprint:
            raise BundleMismatchError(
                f"the store {self.store.shown} holds vectors of {held.bundle} "
                f"({held.fingerprint[:12]}), and the model at hand is {self.model.name} "
                f"({self.model.fingerprint[:12]}): give that bundle's folder with --model"
            )
        self._composers = ComposerShelf()

    def composer(self, name: str | Path | None = None) -> Composer:
        """A composer for the store's model, as `Gallery.composer`."""
        return self._composers.get(name, self.model)

    def prepare(self, query: Query, composer: str | Path | Composer | None = None) -> None:
        """Begin to open what a query will need, as `Gallery.prepare`."""
        in_background(steps(query, self.model, self._opened(composer)))

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        where: str | None = None,
        composer: str | Path | Composer | None = None,
        include_reference: bool = False,
        collapse_duplicates: bool = True,
        missing: Missing = "keep",
        sort: SortOrder = "score",
        min_confidence: float | None = None,
    ) -> SearchResult:
        """Search as `Gallery.search` does.

        No file is looked for, whatever `missing` says, as they may be on any machine.

        Raises:
            QueryError: As `Gallery.search`.
            FilterError: If the filter is not understood, or the store cannot express it.
            StoreError: If the store does not answer.
        """
        check_query(query)
        if missing not in get_args(Missing):
            raise QueryError(f"missing is {missing!r}; it can be: {', '.join(get_args(Missing))}")
        settings = SearchSettings(
            *(k, where, include_reference, collapse_duplicates),
            sort=sort,
            min_confidence=min_confidence,
        )
        ranker = ServedRanker(self.store, self.inventory)
        return answer(query, ranker, self.model, self._opened(composer), settings)

    def _opened(self, composer: str | Path | Composer | None) -> Composer:
        if composer is None or isinstance(composer, str | Path):
            return self.composer(composer)
        return composer
