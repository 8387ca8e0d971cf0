"""Composing queries for what is searched; few composers are kept open, whatever they are called."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from composir.compose import composer_names, load_composer
from composir.compose.base import ComposedQueries, Composer
from composir.model.base import EmbeddingModel
from composir.types import Query, check_query

_KEPT = 4  # a trained one holds about 50 MB


class ComposerShelf:
    """The composers used last; safe among threads."""

    def __init__(self, kept: int = _KEPT) -> None:
        """Keep at most `kept` composers."""
        self._kept, self._lock = kept, Lock()
        self._composers: OrderedDict[str, Composer] = OrderedDict()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._composers)

    def get(self, name: str | Path | None, model: EmbeddingModel) -> Composer:
        """The composer of a name or folder, opened where it is not open yet.

        Args:
            name: Of one, or a trained one's folder; None for the model's default.
            model: The gallery's.
        """
        chosen = str(name or model.default_composer)
        key = chosen if chosen in composer_names(model) else _folder_key(chosen)
        with self._lock:
            composer = self._composers.pop(key, None) or load_composer(chosen, model)
            self._composers[key] = composer  # the last one now
            if len(self._composers) > self._kept:
                self._composers.popitem(last=False)
            return composer


def _folder_key(folder: str) -> str:
    """One key for all spellings of a folder; what is no path of this system is refused later."""
    try:
        return str(Path(folder).expanduser().resolve())
    except (OSError, RuntimeError, ValueError):
        return folder


class Searchable:
    """What composed queries are asked of: a model, and composers for it.

    A gallery is one, and so is a served store; each brings a `ranking.Ranker` of its own.
    """

    def __init__(self) -> None:
        """Begin without an open composer."""
        self._composers = ComposerShelf()

    @property
    def model(self) -> EmbeddingModel:
        """The model that made the vectors."""
        raise NotImplementedError

    def composer(self, name: str | Path | Composer | None = None) -> Composer:
        """A composer for this model; the few used last are kept open.

        Args:
            name: Of one, or a trained one's folder; None for the model's default. One that is open
                is itself.

        Raises:
            QueryError: If there is no such composer.
            ModelError: If a trained one is damaged or of another model.
        """
        if name is None or isinstance(name, str | Path):
            return self._composers.get(name, self.model)
        return name

    def embed_query(
        self, query: Query, *, composer: str | Path | Composer | None = None
    ) -> ComposedQueries:
        """The vector that a query is ranked by, for other stores of the same vectors.

        Args:
            query: As in `search`.
            composer: As in `search`.

        Returns:
            One composed query: (1, m, D) float32, and how its similarities become a score.

        Raises:
            QueryError: As `search`.
        """
        from composir.gallery.search import composed_query

        check_query(query)
        return composed_query(query, self.model, self.composer(composer))

    def prepare(self, query: Query, composer: str | Path | Composer | None = None) -> None:
        """Begin to open what a query will need; returns at once.

        A search that follows is faster by what has been opened meanwhile, and the same otherwise;
        what cannot be opened is told by the search.

        Args:
            query: As in `search`.
            composer: As in `search`.

        Raises:
            QueryError: If it is no `Query`, or there is no such composer.
            ModelError: If the model, or a trained composer, is damaged or does not fit.
        """
        from composir.gallery.prepare import in_background, steps

        check_query(query)
        in_background(steps(query, self.model, self.composer(composer)))
