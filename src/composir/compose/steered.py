"""A query moved by hand: towards the picture or the words, towards some images, away from others.

The last two are relevance feedback: J. J. Rocchio, "Relevance feedback in information retrieval",
1971. Vectors of pictures share much that says nothing of what they show, so it is differences that
are added: of what is liked and what is not, or of either and the mean picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Wrapper
from composir.compose.sphere import normalised
from composir.errors import QueryError
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

FEEDBACK = 0.5
"""Length of the step towards what is liked, in lengths of the query."""


def _none() -> FloatArray:
    return np.empty((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Steering:
    """Where to move a query.

    Attributes:
        balance: 0 for the picture alone, 1 for the words alone, 0.5 for what the composer makes of
            both; None to leave it there.
        more: (n, D) float32, vectors of images that are liked.
        less: (m, D) float32, vectors of images that are not.
        reference: (D,) float32, unit norm, a device's estimate of a picture that stayed there;
            None where the query brings its own.
    """

    balance: float | None = None
    more: FloatArray = field(default_factory=_none)
    less: FloatArray = field(default_factory=_none)
    reference: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check the balance."""
        if self.balance is not None and not 0.0 <= self.balance <= 1.0:
            raise QueryError(f"balance is {self.balance!r}; it goes from 0 (picture) to 1 (words)")

    @property
    def is_idle(self) -> bool:
        """Whether it leaves every query where it is."""
        return self.balance in (None, 0.5) and not len(self.more) and not len(self.less)


@dataclass(frozen=True, slots=True)
class Steered(Wrapper[Composer]):
    """A composer whose queries are moved afterwards.

    Attributes:
        model: The gallery's.
        steering: Where to.
    """

    model: EmbeddingModel
    steering: Steering

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose and move."""
        composed = self.composer.compose(batch)
        if composed.rule != "dot":
            raise QueryError(f"queries of the composer {self.name} cannot be moved; use another")
        vectors = self._balanced(composed.vectors[:, 0], batch)
        return replace(composed, vectors=normalised(vectors + self._step())[:, None])

    def _balanced(self, vectors: FloatArray, batch: QueryBatch) -> FloatArray:
        balance = self.steering.balance
        if balance in (None, 0.5):
            return vectors
        pictures = batch.image_vectors
        if pictures is None and self.steering.reference is not None:
            pictures = self.steering.reference[None]
        if pictures is None or not all(batch.texts):
            raise QueryError("balance lies between a picture and words: give both, or leave it out")
        share = abs(2 * float(balance or 0.0) - 1)
        end = pictures if not balance or balance < 0.5 else self._words(batch)
        return normalised((1 - share) * vectors + share * end)

    def _words(self, batch: QueryBatch) -> FloatArray:
        return self.model.encode_texts(batch.texts)

    def _step(self) -> FloatArray:
        more, less = self.steering.more, self.steering.less
        if not len(more) and not len(less):
            return np.zeros(self.model.dimension, dtype=np.float32)
        mean = self.model.mean_image
        usual = np.zeros(self.model.dimension, np.float32) if mean is None else mean
        liked = more.mean(axis=0) if len(more) else usual
        disliked = less.mean(axis=0) if len(less) else usual
        difference = liked - disliked
        length = float(np.linalg.norm(difference))
        return np.asarray(FEEDBACK * difference / max(length, 1e-6), dtype=np.float32)
