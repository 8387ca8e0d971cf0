"""Composers without training: arithmetic on the vectors of the reference and of the text.

All of them answer queries that have an image alone or words alone too: what is missing simply does
not take part. They are the baselines that a trained composer has to beat (docs: methods,
section 3), and what today's products do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import numpy as np

from composir.compose.base import ComposedQueries, QueryBatch, Traits
from composir.compose.sphere import normalised
from composir.compose.spread import evened
from composir.compose.unwanted import Unwanted, unwanted_directions
from composir.errors import QueryError
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

LATER = {"later": True}
"""Marks a setting that earlier results do not name, and that names nothing at its default."""


@dataclass(frozen=True, slots=True)
class ArithmeticComposer:
    """What composers without training share: a model for the texts, and negatives.

    Attributes:
        model: Encodes modification and negative texts.
        negative_weight: How much it costs a picture to show what a negative text names.
    """

    model: EmbeddingModel
    negative_weight: float = 0.5

    @property
    def traits(self) -> Traits:
        """It works on the model's vectors."""
        return Traits()

    @property
    def settings(self) -> dict[str, float | int | str]:
        """Everything that changes the outcome; a later one only where it is not at its default."""
        own = [one for one in fields(self) if one.init and one.name != "model"]
        said = [one for one in own if not one.metadata or getattr(self, one.name) != one.default]
        return {one.name: getattr(self, one.name) for one in said}

    def _texts(self, batch: QueryBatch) -> FloatArray | None:
        return self.model.encode_texts(batch.texts) if any(batch.texts) else None

    def blended(
        self, batch: QueryBatch, blend: Callable[[FloatArray, FloatArray], FloatArray]
    ) -> ComposedQueries:
        """Blend image and text vectors, (n, D) each; with one of them missing, take the other."""
        image, text = batch.image_vectors, self._texts(batch)
        if image is None or text is None:
            return self.finished(_only(image, text), batch)
        return self.finished(blend(image, text), batch)

    def finished(self, vectors: FloatArray, batch: QueryBatch) -> ComposedQueries:
        """Queries of one vector each, (n, D), with what the batch's negatives rule out."""
        return ComposedQueries(vectors[:, None], unwanted=self._unwanted(batch))

    def _unwanted(self, batch: QueryBatch) -> tuple[Unwanted, ...]:
        return unwanted_directions(batch.negatives, batch.texts, self.model, self.negative_weight)


@dataclass(frozen=True, slots=True)
class ImageOnly(ArithmeticComposer):
    """The reference's own vector; the text is ignored."""

    name = "image"

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Return the reference vectors."""
        if batch.image_vectors is None:
            raise QueryError("the composer image needs a reference image; use text for words alone")
        return self.finished(batch.image_vectors, replace(batch, texts=("",) * len(batch)))


@dataclass(frozen=True, slots=True)
class TextOnly(ArithmeticComposer):
    """The text's vector; the reference is ignored."""

    name = "text"

    @property
    def traits(self) -> Traits:
        """The reference is not looked at."""
        return Traits(needs_vectors=False)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Return the text vectors."""
        texts = self._texts(batch)
        if texts is None:
            raise QueryError("the composer text needs words; use image for an image alone")
        return self.finished(texts, batch)


@dataclass(frozen=True, slots=True)
class WeightedSum(ArithmeticComposer):
    """`normalise((1 - alpha) v + alpha t)`: what most products do.

    Attributes:
        alpha: Weight of the text, 0 to 1.
        evened: To divide both vectors by how far their similarities spread over pictures first
            (`compose.spread`): 1 wholly, 0 not at all, between them by that power of it.
    """

    alpha: float = 0.5
    evened: float = field(default=0.0, metadata=LATER)
    name = "sum"

    def __post_init__(self) -> None:
        """Check the weight."""
        _check_alpha(self.alpha)
        if not 0.0 <= self.evened <= 1.0:
            raise QueryError(f"evened must be from 0 to 1, not {self.evened}")

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Add the two vectors; with one of them missing, take the other."""
        return self.blended(
            batch, lambda v, t: weighted_sum(self._evened(v), self._evened(t), self.alpha)
        )

    def _evened(self, vectors: FloatArray) -> FloatArray:
        return evened(vectors, self.model.spread, self.evened)


@dataclass(frozen=True, slots=True)
class Slerp(ArithmeticComposer):
    """Spherical linear interpolation from the reference to the text (arXiv 2405.00571).

    `sin((1 - alpha) w) / sin(w) v + sin(alpha w) / sin(w) t`, w the angle between them.

    Attributes:
        alpha: How far to go from the image (0) to the text (1).
    """

    alpha: float = 0.5
    name = "slerp"

    def __post_init__(self) -> None:
        """Check the weight."""
        _check_alpha(self.alpha)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Interpolate on the sphere; with one of the two missing, take the other."""
        return self.blended(batch, lambda v, t: slerp(v, t, self.alpha))


@dataclass(frozen=True, slots=True)
class Product(ArithmeticComposer):
    """Score = product of the two similarities, each rectified at zero.

    Similarities to texts run far lower than those to images, but a product ranks by ratios, so no
    weight is needed. Its scores are no cosines: compare them within one query only.
    """

    name = "product"

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Keep both vectors; the gallery multiplies their similarities."""
        image, text = batch.image_vectors, self._texts(batch)
        if image is None or text is None:
            return self.finished(_only(image, text), batch)
        pair = np.stack([image, text], axis=1)
        return ComposedQueries(pair, rule="product", unwanted=self._unwanted(batch))


def weighted_sum(start: FloatArray, end: FloatArray, alpha: float) -> FloatArray:
    """Mix vectors, (n, D) float32 each; `alpha` is the second's share, 0 to 1."""
    share = np.float32(alpha)
    return normalised((1 - share) * start + share * end)


def slerp(start: FloatArray, end: FloatArray, alpha: float) -> FloatArray:
    """Interpolate between unit vectors along the great circle.

    Args:
        start: (n, D) float32, unit norm.
        end: (n, D) float32, unit norm.
        alpha: 0 gives `start`, 1 gives `end`.

    Returns:
        (n, D) float32, unit norm; where the two are (nearly) parallel, their normalised mean.
    """
    cosine = np.clip((start * end).sum(axis=1, keepdims=True), -1.0, 1.0)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    apart = sine > 1e-4
    safe = np.where(apart, sine, 1.0)
    first = np.where(apart, np.sin((1 - alpha) * angle) / safe, 1 - alpha)
    second = np.where(apart, np.sin(alpha * angle) / safe, alpha)
    return normalised((first * start + second * end).astype(np.float32))


def _only(image: FloatArray | None, text: FloatArray | None) -> FloatArray:
    vectors = image if image is not None else text
    if vectors is None:
        raise QueryError("an empty query: give an image, words, or both")
    return vectors


def _check_alpha(alpha: float) -> None:
    if not 0.0 <= alpha <= 1.0:
        raise QueryError(f"alpha must be from 0 (image only) to 1 (text only), not {alpha}")
