"""What of one query is judged: which coefficients, against what, and the words said another way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.gallery.confidence import ConfidenceCalibration, Judge, calibration_of, kind_of
from composir.gallery.duplicates import NearDuplicateRule
from composir.gallery.ranking import Candidate
from composir.gallery.reference import EncodedReference
from composir.model.base import EmbeddingModel
from composir.types import Confidence, FloatArray, Query

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
