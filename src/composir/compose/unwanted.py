"""What hits should not show: directions of the vector space, and what pictures lose for them.

A negative text is encoded in a few wordings. From their mean the mean of everyday texts is taken
away, which all texts share, and what it has in common with the wanted words: "a red shoe" without
"a shoe lace" keeps its shoes. What is left, of unit norm, is its **direction** `d`.

A picture `g` shows more of it the further `g d` lies above the lower quartile of the gallery: with
`z` in spreads of the gallery's lower half, which pictures that show it do not reach,

    score = q g - w (1 + min(max(z_q, 0), 4) / 4) spread(q g) max(0, z_g)

`z_q` is how much the query itself shows: a reference with a shade pulls towards shades, so what it
shows is taken off too. All is relative to the gallery, so one weight `w` serves any model. The form
and its numbers were chosen by measuring (docs/lab.md, `benchmarks/negation.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from composir.compose.sphere import normalised
from composir.errors import QueryError
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

WORDINGS = ("{}", "a photo of {}", "there is {}", "a picture with {}", "{} in the picture")
EVERYDAY = (
    *("a person", "an animal", "a car", "a house", "a tree", "food"),
    *("a flower", "a mountain", "a shoe", "a book", "a bird", "a cup"),
)
"""Their mean is what all texts share."""

_SHOWN_FACTOR = 0.25
_SHOWN_MOST = 4.0
_NOTHING_LEFT = 0.05
_QUARTILE, _LOW, _BETWEEN = 25.0, 8.0, 0.73  # the two lie 0.73 deviations apart in a normal one
_CENTRE, _ONE_BELOW = 50.0, 15.87
_LEAST_SPREAD = 0.25  # of the standard deviation, where many pictures are alike


@dataclass(frozen=True, slots=True)
class Unwanted:
    """What one query rules out.

    Attributes:
        directions: (u, D) float32, unit norm; u may be 0.
        weight: How much showing it costs; 0 switches it off.
    """

    directions: FloatArray
    weight: float

    @classmethod
    def together(cls, several: Sequence[Unwanted], dimension: int) -> Unwanted:
        """What any of several rules out; nothing for none."""
        if not several:
            return cls(np.zeros((0, dimension), dtype=np.float32), 0.0)
        directions = np.concatenate([one.directions for one in several])
        return cls(directions, several[0].weight)

    def penalties(
        self, query: FloatArray, similarities: FloatArray, sample: FloatArray
    ) -> Penalties | None:
        """What pictures of one gallery lose.

        Args:
            query: (m, D) float32, the composed query.
            similarities: (s,) the query's scores of a sample of the gallery.
            sample: (s, D) float32, that sample.

        Returns:
            None where nothing is unwanted.
        """
        if not len(self.directions) or not self.weight or not len(sample):
            return None
        shown = sample @ self.directions.T
        zero, scale = np.transpose([_quartile_and_spread(column) for column in shown.T])
        own = ((query @ self.directions.T).max(axis=0) - zero) / scale
        strength = 1.0 + _SHOWN_FACTOR * np.clip(own, 0.0, _SHOWN_MOST)
        cost = self.weight * strength * _spread(similarities, _CENTRE, _ONE_BELOW, 1.0)
        return Penalties(
            self.directions,
            zero.astype(np.float32),
            (cost / scale).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Penalties:
    """What pictures lose for what they show.

    Attributes:
        directions: (u, D) float32, unit norm.
        begin: (u,) similarities from which on it costs.
        slope: (u,) how much for each unit above.
    """

    directions: FloatArray
    begin: FloatArray
    slope: FloatArray

    def __call__(self, gallery: FloatArray) -> FloatArray:
        """Of a gallery, (g, D) float32; (g,) float32, none below 0."""
        above = np.maximum(gallery @ self.directions.T - self.begin, 0.0)
        return np.asarray(above @ self.slope, dtype=np.float32)


def unwanted_directions(
    negatives: Sequence[Sequence[str]],
    texts: Sequence[str],
    model: EmbeddingModel,
    weight: float,
) -> tuple[Unwanted, ...]:
    """What the queries of a batch rule out."""
    if not any(negatives):
        return ()
    encoded = _encoded(negatives, texts, model)
    shared = np.mean([encoded[text] for text in EVERYDAY], axis=0)
    return tuple(
        Unwanted(_directions(unwanted, text, shared, encoded), weight)
        for unwanted, text in zip(negatives, texts, strict=True)
    )


def _encoded(
    negatives: Sequence[Sequence[str]], texts: Sequence[str], model: EmbeddingModel
) -> Mapping[str, FloatArray]:
    """Vectors of all texts that count, from one call of the model."""
    needed = dict.fromkeys(EVERYDAY)
    for unwanted, text in zip(negatives, texts, strict=True):
        needed |= dict.fromkeys(form.format(one) for one in unwanted for form in WORDINGS)
        needed |= dict.fromkeys([text] if unwanted else [])
    return dict(zip(needed, model.encode_texts(list(needed)), strict=True))


def _directions(
    unwanted: Sequence[str], text: str, shared: FloatArray, encoded: Mapping[str, FloatArray]
) -> FloatArray:
    means = [np.mean([encoded[form.format(one)] for form in WORDINGS], axis=0) for one in unwanted]
    rows = np.asarray(means, dtype=np.float32).reshape(len(unwanted), len(shared))
    directions = normalised(normalised(rows) - shared)
    if text.strip():
        wanted = normalised(encoded[text] - shared) if unwanted else np.zeros_like(shared)
        common = np.maximum(directions @ wanted, 0.0)
        directions = directions - common[:, None] * wanted
    _refuse_contradiction(unwanted, text, directions)
    return normalised(directions)


def _refuse_contradiction(unwanted: Sequence[str], text: str, directions: FloatArray) -> None:
    for negative, left in zip(unwanted, np.linalg.norm(directions, axis=1), strict=True):
        same = negative.strip().lower() == text.strip().lower()
        # A text that is like all others has no direction at all, and rules out nothing.
        if same or 0.0 < left < _NOTHING_LEFT:
            raise QueryError(
                f"what must not be there is all that is asked for ({negative!r}): "
                "nothing is left to look for"
            )


def _quartile_and_spread(values: FloatArray) -> tuple[float, float]:
    return _percentile(values, _QUARTILE), _spread(values, _QUARTILE, _LOW, _BETWEEN)


def _spread(values: FloatArray, upper: float, lower: float, between: float) -> float:
    """One deviation, read off the lower half of some values; never 0."""
    distance = _percentile(values, upper) - _percentile(values, lower)
    return max(distance / between, _LEAST_SPREAD * float(values.std()), 1e-6)


def _percentile(values: FloatArray, percent: float) -> float:
    """What `np.percentile` gives, which would import numpy's masked arrays."""
    ranks = np.linspace(0.0, 100.0, len(values))
    return float(np.interp(percent, ranks, np.sort(values)))
