"""Searching a served store: the same query, model, composers and answer as of a gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from composir.compose.base import Composer
from composir.errors import BundleMismatchError, QueryError, StoreError
from composir.gallery.composers import Searchable
from composir.gallery.manifest import BundleIdentity
from composir.gallery.origin import load_origin
from composir.gallery.search import SearchSettings, answer
from composir.model.base import EmbeddingModel
from composir.scale.served_ranker import ServedRanker
from composir.scale.served_store import ServedStore, answering
from composir.types import HitOptions, Missing, Query, SearchResult, check_query


class ServedGallery(Searchable):
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
        super().__init__()
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
        self._model = load_origin(bundle, self.store.shown, open_model)
        if self.model.fingerprint != held.fingerprint:
            raise BundleMismatchError(
                f"the store {self.store.shown} holds vectors of {held.bundle} "
                f"({held.fingerprint[:12]}), and the model at hand is {self.model.name} "
                f"({self.model.fingerprint[:12]}): give that bundle's folder with --model"
            )

    @property
    def model(self) -> EmbeddingModel:
        """The model that made the store's vectors."""
        return self._model

    def search(
        self,
        query: Query,
        *,
        composer: str | Path | Composer | None = None,
        missing: Missing = "keep",
        **options: Unpack[HitOptions],
    ) -> SearchResult:
        """Search as `Gallery.search` does.

        Args:
            query: As there.
            composer: As there.
            missing: `keep` alone: a store does not know which folders were indexed, and they may be
                another machine's, so whether a file was deleted cannot be told.
            **options: As there.

        Raises:
            QueryError: As `Gallery.search`, and if files are to be looked for.
            FilterError: If the filter is not understood, or the store cannot express it.
            StoreError: If the store does not answer.
        """
        check_query(query)
        if missing != "keep":
            raise QueryError(
                f"missing is {missing!r}, and a store does not know which folders were indexed, so "
                "no file is looked for: leave it out, or say 'keep'"
            )
        ranker = ServedRanker(self.store, self.inventory)
        settings = SearchSettings(**options)
        return answer(query, ranker, self.model, self.composer(composer), settings)
