"""Open what a query will need while the command still reads other things.

ONNX Runtime lets other threads run while it opens a graph, so the graphs of a query open side by
side, and beside the gallery's files and the reference image. Nothing depends on it: whoever needs a
graph waits for it or opens it, and gets its error there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import Any

from composir.compose.base import Composer
from composir.compose.understand import understand
from composir.errors import ComposirError
from composir.model.base import EmbeddingModel
from composir.types import Query

Step = Callable[[], object]


def steps(query: Query, model: EmbeddingModel, composer: Composer) -> list[Step]:
    """What a query will need for sure, in parts that can be opened side by side.

    Models and composers that have nothing to open have no `preparations`.

    Args:
        query: The query.
        model: The gallery's.
        composer: Who composes; one that needs encoders of its own says so itself.
    """
    asked, _ = understand(query)
    image, words = asked.image is not None, bool(asked.text) and not asked.from_device
    parts: Any = getattr(composer, "preparations", None)
    if parts is None:
        return _of(model, image=image, words=words or bool(asked.negatives))
    own = [*parts(image=image, words=words), *_of(model, image=image, words=False)]
    # The model's own text encoder reads what is unwanted.
    return [*own, *_of(model, image=False, words=True)] if asked.negatives else own


def in_background(parts: Iterable[Step]) -> list[Thread]:
    """Start every part in a thread; expected errors are left to whoever needs the part.

    Args:
        parts: To open.

    Returns:
        The threads.
    """
    threads = [Thread(target=_quietly, args=(part,), name="composir-prepare") for part in parts]
    for thread in threads:
        thread.start()
    return threads


def _of(model: EmbeddingModel, *, image: bool, words: bool) -> list[Step]:
    parts: Any = getattr(model, "preparations", None)
    return [] if parts is None else list(parts(image=image, words=words))


def _quietly(part: Step) -> None:
    with suppress(ComposirError):
        part()
