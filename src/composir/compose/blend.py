"""What a trained composer's query is made of: four unit vectors, two changes and their weights.

With q the composed sentence, s the reference's own sentence, v the reference's vector and t the
modification's:

    query = normalise(sentence q + direction (q - s) + image v + text t + exchange c + learned m)

A text that describes all of what is asked for (d, from 0 to 1, `compose.description`) is summed
with the reference instead:

    query = normalise((1 - d) (the above) + d (v + description t))

With `evened` each of these vectors is divided by its spread first, or by a power of it
(`compose.spread`).

Plain composing is `sentence` alone. `direction` and `image` are the arithmetic of directions (docs:
methods, section 3): what the words change is moved to where the reference really is, which keeps
what pseudo-words lose of it. So are c, what the words replace, and m, the way that pictures move
(`compose.changes`). Weights are chosen on dev splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, ValidationError, model_validator

from composir.compose.sphere import normalised
from composir.compose.spread import Evening, known
from composir.data.fields import ManifestPart
from composir.data.schema import first_problem
from composir.errors import QueryError
from composir.types import FloatArray

MOST_WEIGHT = 100.0
"""Of one term; weights count relative to each other, and float32 has an end."""


class BlendWeights(ManifestPart):
    """Weights of what a query is made of.

    Attributes:
        sentence: Of the composed sentence q.
        direction: Of q - s, the way from the reference's own sentence to the composed one.
        image: Of the reference's vector v; on the device it costs the gallery's encoder.
        text: Of the modification's vector t.
        exchange: Of c, what the words ask for less what they replace; needs v.
        learned: Of m, the way that pictures move when what the words say comes true; needs v.
        description: Of t against the reference in a text that describes all of what is asked for; 0
            to blend such texts as any other.
        negative_weight: How much it costs a picture to show what a negative text names.
        evened: To divide each term by how far its similarities spread over pictures: 1 wholly, 0
            not at all, between them by that power of it.
    """

    later: ClassVar[frozenset[str]] = frozenset({"evened"})

    sentence: float = Field(default=1.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    direction: float = Field(default=0.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    image: float = Field(default=0.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    text: float = Field(default=0.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    exchange: float = Field(default=0.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    learned: float = Field(default=0.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    description: float = Field(default=0.0, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    negative_weight: float = Field(default=0.5, ge=0.0, le=MOST_WEIGHT, allow_inf_nan=False)
    evened: float | None = Field(default=None, ge=0.0, le=1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _blend_something(self) -> BlendWeights:
        if not (self.sentence or self.direction or self.image or self.text or self.exchange):
            raise ValueError("all weights of the blend are 0")
        return self

    @property
    def needs_image(self) -> bool:
        """Whether the reference's vector is part of the blend."""
        return self.image + self.exchange + self.learned > 0

    def sentences(self, *, described: bool) -> frozenset[str]:
        """Names of the terms with a weight that a text encoder has to read.

        Args:
            described: Whether a text describes all of what is asked for.
        """
        weights = {
            "composed": self.sentence + self.direction,
            "sentence": self.direction,
            "text": self.text + self.description * described,
        }
        return frozenset(name for name, weight in weights.items() if weight)

    def changed(self, settings: Mapping[str, float | int | str]) -> BlendWeights:
        """These weights with some of them replaced."""
        try:
            return BlendWeights.model_validate({**self.model_dump(), **settings})
        except ValidationError as error:
            known = ", ".join(BlendWeights.model_fields)
            raise QueryError(f"{first_problem(error)}; its settings are {known}") from error


_Term = Callable[[], FloatArray]
_Part = tuple[str, float, _Term]


@dataclass(frozen=True, slots=True)
class Terms:
    """Functions that compute the vectors of a batch, (n, D) float32 of unit norm each.

    Attributes:
        composed: q; None without a text or without a reference.
        sentence: s; None without a reference.
        image: v; None without a reference.
        text: t; None without a text.
        exchange: c, not of unit norm; None where nobody computes it.
        learned: m, likewise.
        described: d, (n, 1) from 0 to 1; None where no text describes all.
        evening: What evens them; None where the model knows no spread.
    """

    composed: _Term | None = None
    sentence: _Term | None = None
    image: _Term | None = None
    text: _Term | None = None
    exchange: _Term | None = None
    learned: _Term | None = None
    described: _Term | None = None
    evening: Evening | None = None

    def remembered(self) -> Terms:
        """The same, each computed at most once."""
        terms = [getattr(self, one.name) for one in fields(self) if one.name != "evening"]
        made: list[Any] = [*(term and cache(term) for term in terms), self.evening]
        return Terms(*made)


def blend(weights: BlendWeights, terms: Terms) -> FloatArray:
    """Blend what a batch has; what has no weight is not computed.

    Returns:
        (n, D) float32, unit norm.
    """
    return normalised(mix(weights, terms))


def mix(weights: BlendWeights, terms: Terms) -> FloatArray:
    """The same before its norm is made 1: a sum of all terms but `described`, each times a number.

    Returns:
        (n, D) float32; of terms that are no vectors but, say, their scores, the mix of these.
    """
    alone = _alone(weights, terms)
    if alone is not None:
        return alone()
    evening = _evening(weights, terms)
    change = _mixed(_weighted(weights, terms), evening)
    if not weights.description or terms.described is None:
        return change
    share = terms.described()
    return (1.0 - share) * change + share * _mixed(_described(weights, terms), evening)


def _evening(weights: BlendWeights, terms: Terms) -> Evening | None:
    power = weights.evened
    if not power:
        return None
    evening = known(terms.evening)
    return lambda name, vectors: evening(name, vectors) ** np.float32(power)


def _mixed(parts: Iterable[_Part], evening: Evening | None) -> FloatArray:
    mixed = [_scaled(*part, evening) for part in parts if part[1]]
    return np.asarray(np.sum(mixed, axis=0, dtype=np.float32))


def _scaled(name: str, weight: float, term: _Term, evening: Evening | None) -> FloatArray:
    vectors = term()
    share = np.float32(weight) if evening is None else np.float32(weight) * evening(name, vectors)
    return np.asarray(share * vectors, dtype=np.float32)


def _described(weights: BlendWeights, terms: Terms) -> list[_Part]:
    """Reference and text, where the text says it all; a device without v has s for it."""
    name = "image" if weights.needs_image else "sentence"
    reference = terms.image if weights.needs_image else terms.sentence
    assert reference is not None  # a composed sentence has a reference
    assert terms.text is not None  # and a text
    return [(name, 1.0, reference), ("text", weights.description, terms.text)]


def _alone(weights: BlendWeights, terms: Terms) -> _Term | None:
    """The only term of words alone, or of a reference alone."""
    if terms.sentence is None or terms.image is None:
        if terms.text is None:
            raise QueryError("an empty query: give an image, words, or both")
        return terms.text
    if terms.composed is None or terms.text is None:
        # A sentence describes its picture less well than the picture's own vector does.
        return terms.image if weights.needs_image else terms.sentence
    return None


def _weighted(weights: BlendWeights, terms: Terms) -> list[_Part]:
    composed, sentence, image, text = terms.composed, terms.sentence, terms.image, terms.text
    assert composed is not None  # as `_alone` says
    assert sentence is not None
    assert image is not None
    assert text is not None
    changes = (
        ("exchange", weights.exchange, terms.exchange),
        ("learned", weights.learned, terms.learned),
    )
    return [
        ("composed", weights.sentence, composed),
        ("direction", weights.direction, lambda: composed() - sentence()),
        ("image", weights.image, image),
        ("text", weights.text, text),
        *((name, weight, term) for name, weight, term in changes if term is not None),
    ]
