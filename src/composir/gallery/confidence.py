"""How far to trust the best hit, from how it stands out against the rest of the gallery.

In a gallery of `n` images of which none fits, the best score is the largest of `n` draws from the
background of that query. Its centre and spread are read off the lower half of the scores, which
relevant images do not reach: the median, and the distance from there down to the 15.87th
percentile (one standard deviation of a normal distribution). The largest of `n` normal draws lies
about `a = sqrt(2 ln n) - (ln ln n + ln 4 pi) / (2 sqrt(2 ln n))` deviations above the centre, give
or take about `1 / sqrt(2 ln n)` (the Gumbel limit). The **stand-out** is how many of these give-or-
takes the best score lies above that expectation, halved so that 0 is what chance gives and 1 or 2
is rare. It does not depend on the gallery's size nor on the scale of a composer's scores.

Where everything in a gallery fits, nothing stands out; that is why the best score itself has a
weight too. Both go through a logistic function whose coefficients are calibrated on a development
set and travel with the bundle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from composir.compose.base import Composer
from composir.errors import ModelError
from composir.model.base import EmbeddingModel
from composir.types import Confidence, FloatArray, Query

_ONE_DEVIATION_BELOW = 15.87
_ENOUGH_SCORES = 16_384  # for two percentiles; more would only cost milliseconds


@dataclass(frozen=True, slots=True)
class ConfidenceCalibration:
    """The coefficients; a bundle may bring its own.

    Attributes:
        bias: Logit of the confidence at stand-out 0 and score 0.
        standout_weight: Logit per unit of stand-out.
        score_weight: Logit per unit of the best score.
        good: From this value on: "good match".
        poor: Below this value: "nothing matches well".
        smallest_gallery: With fewer images the background is unknown: always "uncertain".
    """

    bias: float = -2.0
    standout_weight: float = 1.0
    score_weight: float = 0.0
    good: float = 0.6
    poor: float = 0.25
    smallest_gallery: int = 16


def calibration_of(
    model: EmbeddingModel, query: Query, composer: Composer
) -> ConfidenceCalibration:
    """The coefficients that a model's bundle brings for a kind of query.

    Cosines of words with pictures lie on another scale than those of queries that start from a
    picture, so each kind has its own. They were fitted on the model's default composer; scores of
    another one lie elsewhere, and the general coefficients serve: they look at the stand-out alone.

    Raises:
        ModelError: If the bundle names a coefficient that there is none of.
    """
    if not _is_default(composer, model):
        return ConfidenceCalibration()
    kind = "words" if query.image is None and not query.from_device else "image"
    try:
        return ConfidenceCalibration(**model.confidence_settings.get(kind, {}))  # type: ignore[arg-type]
    except TypeError as error:
        raise ModelError(f"the model {model.name}: its confidence settings: {error}") from error


def _is_default(composer: Composer, model: EmbeddingModel) -> bool:
    """Whether it is the one that the model brings, not another of its name."""
    if composer.name != model.default_composer:
        return False
    from composir.compose import packaged_composers
    from composir.compose.trained import ComposerFolder

    own = composer.traits.folder  # of trained ones alone
    packaged = packaged_composers(model).get(composer.name)
    if own is None or packaged is None:
        return own is None
    return own.fingerprint == ComposerFolder.load(packaged).fingerprint


def standout(best: float, background: FloatArray, size: int) -> float:
    """How far the best score lies above what chance would give.

    Args:
        best: The best score.
        background: (s,) scores of all images searched, or of a fair sample of them.
        size: How many images were searched.

    Returns:
        The stand-out; 0 is what an irrelevant gallery of this size gives.
    """
    sample = background[:: max(1, len(background) // _ENOUGH_SCORES)]
    # What `np.percentile` gives, which would import numpy's masked arrays: a search starts cold.
    ranks = np.linspace(0.0, 100.0, len(sample))
    below, centre = np.interp([_ONE_DEVIATION_BELOW, 50.0], ranks, np.sort(sample))
    spread = max(float(centre - below), 1e-6)
    root = math.sqrt(2.0 * math.log(max(size, 3)))
    expected = root - (math.log(math.log(max(size, 3))) + math.log(4 * math.pi)) / (2 * root)
    return ((best - float(centre)) / spread - expected) * root / 2.0


def judge(
    best: float | None,
    background: FloatArray,
    size: int,
    calibration: ConfidenceCalibration | None = None,
) -> Confidence:
    """Judge the best hit of one query.

    Args:
        best: Its score; None where there is no hit.
        background: (s,) scores of all images searched, or of a fair sample of them.
        size: How many images were searched.
        calibration: Coefficients; None for the defaults.

    Returns:
        The confidence with its verdict.
    """
    calibration = calibration or ConfidenceCalibration()
    if best is None or size == 0:
        return Confidence(0.0, "nothing matches well")
    if size < calibration.smallest_gallery:
        return Confidence(0.5, "uncertain")
    logit = (
        calibration.bias
        + calibration.standout_weight * standout(best, background, size)
        + calibration.score_weight * best
    )
    value = 1.0 / (1.0 + math.exp(-max(min(logit, 50.0), -50.0)))
    if value >= calibration.good:
        return Confidence(value, "good match")
    return Confidence(value, "nothing matches well" if value < calibration.poor else "uncertain")
