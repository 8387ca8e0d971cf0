"""The sentences of a query, read in one run of the text graph where that can be.

A reference with words needs up to three: the composed sentence, the reference's own, and the words
alone. On a CPU a run takes its time whether it reads one sentence or three.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from composir.model.base import SentenceBatch
from composir.types import FloatArray


class Readings:
    """Vectors of a batch's sentences by name, read when they are asked for."""

    def __init__(
        self,
        read: Callable[[Sequence[SentenceBatch]], Sequence[FloatArray]],
        sentences: Mapping[str, Callable[[], SentenceBatch]],
        together: Collection[str],
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            read: Encodes several kinds of sentences at once.
            sentences: Each kind, by name.
            together: Names of those that will be asked for.
        """
        self._read, self._sentences, self._together = read, sentences, together
        self._vectors: dict[str, FloatArray] = {}

    def __call__(self, name: str) -> FloatArray:
        """The vectors of one kind, (n, D) float32, unit norm."""
        if name not in self._vectors:
            asked = {name, *self._together} - self._vectors.keys()
            names = [known for known in self._sentences if known in asked]
            vectors = self._read([self._sentences[one]() for one in names])
            self._vectors.update(zip(names, vectors, strict=True))
        return self._vectors[name]
