"""Composing queries for what is searched: composers that are kept open, or opened beforehand.

ONNX Runtime lets other threads run while it opens a graph, so the graphs of a query open side by
side, and beside the gallery's files and the reference image. Nothing depends on it: whoever needs a
graph waits for it or opens it, and gets its error there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread

from composir.compose import composer_names, load_composer
from composir.compose.base import ComposedQueries, Composer
from composir.errors import ComposirError
from composir.model.base import EmbeddingModel
from composir.types import Query, check_query

Step = Callable[[], object]
_KEPT = 4  # a trained one holds about 50 MB


class ComposerShelf:
    """The composers used last; safe among threads."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept, self._lock = kept, Lock()
        self._composers: OrderedDict[str, Composer] = OrderedDict()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._composers)

    def get(self, name: str | Path | None, model: EmbeddingModel) -> Composer:
        """The composer of a name or folder, or the model's default; opened where it is not yet."""
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
        check_query(query)
        in_background(steps(query, self.model, self.composer(composer)))


def steps(query: Query, model: EmbeddingModel, composer: Composer) -> list[Step]:
    """What a query will need for sure, in parts that can be opened side by side."""
    from composir.compose.understand import understand
    from composir.gallery.reference import needs_vectors

    asked, _ = understand(query)
    image, words = asked.image is not None, bool(asked.text) and not asked.from_device
    parts = composer.traits.preparations
    if parts is None:
        return list(model.preparations(image=image, words=words or bool(asked.negatives)))
    # The model's own text encoder reads what is unwanted.
    seen = image and needs_vectors(model, composer)
    others = model.preparations(image=seen, words=bool(asked.negatives))
    return [*parts(image=image, words=words), *others]


def in_background(parts: Iterable[Step]) -> list[Thread]:
    """Start every part in a thread; expected errors are left to whoever needs the part."""
    threads = [Thread(target=_quietly, args=(part,), name="composir-prepare") for part in parts]
    for thread in threads:
        thread.start()
    return threads


def _quietly(part: Step) -> None:
    with suppress(ComposirError):
        part()
