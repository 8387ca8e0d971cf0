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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.errors import ModelError
from composir.gallery.duplicates import NearDuplicateRule
from composir.gallery.ranking import Candidate
from composir.gallery.reference import EncodedReference
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


FIRST = 5
"""So many hits are looked at: which of several good ones comes first hangs on the wording."""


def compose_words(
    query: Query,
    composer: Composer,
    model: EmbeddingModel,
    calibration: ConfidenceCalibration | None,
) -> tuple[ComposedQueries, ComposedQueries | None]:
    """Compose words without a picture in one call of the composer.

    Returns:
        The query, and the same words in the model's sentence ("a photo of ..."), where that has a
        share in what `Opinion` judges.
    """
    framed = _framed(query.text, model, calibration)
    if framed is None:
        return composer.compose(QueryBatch((query.text,), negatives=(query.negatives,))), None
    both = composer.compose(QueryBatch((query.text, framed), negatives=(query.negatives, ())))
    return both.part(0, 1), both.part(1, 2)


def _framed(
    text: str, model: EmbeddingModel, calibration: ConfidenceCalibration | None
) -> str | None:
    words = " ".join(text.split())
    if not words or not (calibration or calibration_of(model, "words")).framed:
        return None
    before, _, after = model.sentence.partition("{}")
    if words.lower().startswith(before.strip().lower()) or before == after == "":
        return None
    return f"{before}{words}{after}"


class Opinion:
    """Judges candidates of one query.

    Words alone are judged in the model's own sentence ("a photo of dog"), as far as coefficients
    say, so that it matters less how they were said; the ranking knows nothing of that.
    """

    def __init__(
        self,
        query: Query,
        composed: ComposedQueries,
        framed: ComposedQueries | None,
        composer: str,
        model: EmbeddingModel,
        calibration: ConfidenceCalibration | None,
    ) -> None:
        """Prepare for one query; `framed` are its words in the model's sentence, composed."""
        self._composed, self._model = composed, model
        self._kind = kind_of(query, composed, composer)
        self._framed = framed if self._kind == "words" else None
        self._calibration = calibration or calibration_of(model, self._kind)

    def judge(self, background: FloatArray, size: int) -> Judge:
        """The judge of this query's scores; arguments as for `Judge`."""
        return Judge(self._calibration, background, size, self._zero)

    def of(
        self,
        judge: Judge,
        first: Sequence[Candidate],
        references: Sequence[EncodedReference],
        rule: NearDuplicateRule,
    ) -> Confidence:
        """Judge the best of the first hits; a copy of the reference is certain."""
        is_copy = self._kind == "image" and any(
            reference.is_shown_by(hit, rule) for hit in first[:1] for reference in references
        )
        return judge.of(max(map(self.score, first), default=None), certain=is_copy)

    def score(self, candidate: Candidate) -> float:
        """The score that is judged: the candidate's, with the model's sentence mixed in."""
        if self._framed is None:
            return candidate.score
        vector = candidate.appearance.vector
        plain, framed = _similarity(self._composed, vector), _similarity(self._framed, vector)
        return candidate.score + self._calibration.framed * (framed - plain)

    @cached_property
    def _zero(self) -> float:
        mean = self._model.mean_image
        if mean is None or not self._calibration.needs_mean_picture:
            return 0.0
        plain = _similarity(self._composed, mean)
        if self._framed is None:
            return plain
        return plain + self._calibration.framed * (_similarity(self._framed, mean) - plain)


def _similarity(composed: ComposedQueries, vector: FloatArray) -> float:
    """Of one vector, (D,), to what is wanted."""
    return float(composed.similarities(vector[None])[0, 0])
