"""How far to trust the best hit: how likely it is right, calibrated on labelled queries.

A score means little by itself: every query likes some pictures, "dog" scores lower than "a dog"
where both are right, and the best of many wrong pictures scores higher than the best of few. So
the best score is read against two things. A bundle brings the mean of the vectors of many
unrelated pictures; the score of that **mean picture** is where the query's scale begins. And the
best of `n` unrelated pictures lies about
`a(n) = sqrt(2 ln n) - (ln ln n + ln 4 pi) / (2 sqrt(2 ln n))` deviations above that (the Gumbel
limit for normal draws). The **excess** is what the best score has beyond both. It does not matter
to it how many of the gallery's pictures fit. It goes through a logistic function whose coefficients
are the bundle's, one set for each kind of query, fitted and tested in `benchmarks/confidence.py`.

A bundle without such numbers has the **stand-out** alone: how far the best score lies above what
chance gives, with centre and spread read off the lower half of the gallery's own scores, in
give-or-takes of the Gumbel limit, halved. It needs no scale, but where much of a gallery fits
nothing stands out. So a low one proves nothing, and the verdict is "uncertain" at worst.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from composir.compose.base import ComposedQueries
from composir.errors import ModelError
from composir.model.base import EmbeddingModel
from composir.types import Confidence, FloatArray, Query

Kind: TypeAlias = Literal["words", "image", "both", "product"]
_ONE_DEVIATION_BELOW = 15.87
_ENOUGH_SCORES = 16_384  # for two percentiles; more would only cost milliseconds
_ONE_PART_ALONE: dict[str, Kind] = {"text": "words", "image": "image"}
_OLDER_NAMES: dict[Kind, Kind] = {"both": "image"}  # bundles had one set for all with a picture


@dataclass(frozen=True, slots=True)
class ConfidenceCalibration:
    """The coefficients; a bundle may bring its own.

    Attributes:
        bias: Logit of the confidence where all else is 0.
        standout_weight: Logit per unit of stand-out.
        score_weight: Logit per unit of the best score.
        excess_weight: Logit per unit of excess.
        spread: One deviation of the scores of unrelated pictures, for the excess.
        framed: Share that the words in the bundle's sentence ("a photo of ...") have in the score
            that is judged, beside the words as they are; 0 to 1.
        good: From this value on: "good match".
        poor: Below this value: "nothing matches well".
        relevant: From this value on an image counts as relevant when hits are sorted by date.
        smallest_gallery: With fewer images there is no stand-out.
    """

    bias: float = -1.4
    standout_weight: float = 0.5
    score_weight: float = 0.0
    excess_weight: float = 0.0
    spread: float = 0.0
    framed: float = 0.0
    good: float = 0.7
    poor: float = 0.0
    relevant: float = 0.5
    smallest_gallery: int = 16

    @property
    def needs_mean_picture(self) -> bool:
        """Whether it asks for the score of the bundle's mean picture."""
        return self.excess_weight != 0


def kind_of(query: Query, composed: ComposedQueries, composer: str) -> Kind:
    """Which set of coefficients a query has: scores of different kinds lie on different scales."""
    if composed.rule == "product":
        return "product"
    if not query.images and not query.from_device:
        return "words"
    if composer in _ONE_PART_ALONE:
        return _ONE_PART_ALONE[composer]
    return "both" if query.text or query.from_device else "image"


def calibration_of(model: EmbeddingModel, kind: Kind) -> ConfidenceCalibration:
    """The coefficients that a model's bundle brings for a kind of query, or the general ones."""
    settings = model.confidence_settings
    found = settings.get(kind, settings.get(_OLDER_NAMES.get(kind, kind), {}))
    try:
        calibration = ConfidenceCalibration(**found)  # type: ignore[arg-type]
    except TypeError as error:
        raise ModelError(f"the model {model.name}: its confidence settings: {error}") from error
    if calibration.needs_mean_picture and model.mean_image is None:
        raise ModelError(
            f"the model {model.name}: its confidence settings for {kind} need a mean_image, which "
            "its bundle lacks; make the bundle again"
        )
    return calibration


@dataclass(frozen=True)
class Judge:
    """Judges the scores of one query."""

    calibration: ConfidenceCalibration  # coefficients
    background: FloatArray  # (s,) scores of all images searched, or of a fair sample of them
    size: int  # how many images were searched
    zero: float = 0.0  # score of the mean picture, where the calibration needs it

    @property
    def is_blind(self) -> bool:
        """Whether there is nothing to compare a score with."""
        made = self.calibration
        return self.size < made.smallest_gallery and not made.needs_mean_picture

    def value(self, score: float) -> float:
        """How likely an image of this score is right, 0 to 1."""
        made = self.calibration
        if self.is_blind:
            return 0.5
        excess = score - self.zero - made.spread * expected_best(self.size)
        logit = made.bias + made.score_weight * score + made.excess_weight * excess
        if made.standout_weight and self.size >= made.smallest_gallery:
            logit += made.standout_weight * _standout(score, *self._middle, self.size)
        return 1.0 / (1.0 + math.exp(-max(min(logit, 50.0), -50.0)))

    def of(self, best: float | None, *, certain: bool = False) -> Confidence:
        """Judge the best hit; `certain` if it is known to be right, such as a copy."""
        made = self.calibration
        if best is None or self.size == 0:
            return Confidence(0.0, "nothing matches well")
        if certain:
            return Confidence(1.0, "good match")
        if self.is_blind:
            return Confidence(0.5, "uncertain")
        value = self.value(best)
        if value >= made.good:
            return Confidence(value, "good match")
        return Confidence(value, "nothing matches well" if value < made.poor else "uncertain")

    def is_relevant(self, score: float) -> bool:
        """Whether an image of this score counts as relevant."""
        return self.value(score) >= self.calibration.relevant

    @cached_property
    def _middle(self) -> tuple[float, float]:
        return _centre_and_below(self.background)


def expected_best(size: int) -> float:
    """The largest of so many normal draws, as expected, in deviations above their mean."""
    logarithm = math.log(max(size, 3))
    root = math.sqrt(2.0 * logarithm)
    return root - (math.log(logarithm) + math.log(4 * math.pi)) / (2 * root)


def standout(best: float, background: FloatArray, size: int) -> float:
    """How far the best score lies above what chance would give.

    Args:
        best: The best score.
        background: (s,) scores of all images searched, or of a fair sample of them.
        size: How many images were searched.
    """
    return _standout(best, *_centre_and_below(background), size)


def _standout(best: float, centre: float, below: float, size: int) -> float:
    spread = max(centre - below, 1e-6)
    root = math.sqrt(2.0 * math.log(max(size, 3)))
    return ((best - centre) / spread - expected_best(size)) * root / 2.0


def _centre_and_below(background: FloatArray) -> tuple[float, float]:
    """Median of some scores, and what lies one deviation of a normal distribution below it."""
    if not len(background):
        return 0.0, 0.0
    sample = background[:: max(1, len(background) // _ENOUGH_SCORES)]
    # What `np.percentile` gives, which would import numpy's masked arrays: a search starts cold.
    ranks = np.linspace(0.0, 100.0, len(sample))
    below, centre = np.interp([_ONE_DEVIATION_BELOW, 50.0], ranks, np.sort(sample))
    return float(centre), float(below)
