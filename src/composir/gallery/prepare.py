"""Open what a query will need while the command still reads other things.

ONNX Runtime lets other threads run while it opens a graph, so the graphs of a query open side by
side, and beside the gallery's files and the reference image. Nothing depends on it: whoever needs a
graph waits for it or opens it, and gets its error there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread

from composir.compose.base import Composer
from composir.compose.understand import understand
from composir.errors import ComposirError
from composir.gallery.reference import needs_vectors
from composir.model.base import EmbeddingModel
from composir.types import Query

Step = Callable[[], object]


def steps(query: Query, model: EmbeddingModel, composer: Composer) -> list[Step]:
    """What a query will need for sure, in parts that can be opened side by side."""
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
