"""Confidence: chance is told from signal, however many pictures fit and however it was said."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from composir.compose.base import ComposedQueries
from composir.errors import ModelError
from composir.gallery.confidence import (
    ConfidenceCalibration,
    Judge,
    calibration_of,
    expected_best,
    kind_of,
    standout,
)
from composir.types import FloatArray, Query
from tests.fakes import ColourModel

DEVIATION = 0.05
AGAINST_MEAN = ConfidenceCalibration(
    bias=-2.0, standout_weight=0.0, excess_weight=40.0, spread=DEVIATION, good=0.7, poor=0.2
)
ZERO = 0.1


def chance(size: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(ZERO, DEVIATION, size).astype(np.float32)


def verdict(best: float, scores: FloatArray, made: ConfidenceCalibration) -> str:
    return Judge(made, scores, len(scores), ZERO).of(best).verdict


@pytest.mark.parametrize("size", [100, 1_000, 30_000])
def test_chance_has_a_standout_of_about_zero_at_any_size(size: int) -> None:
    values = [standout(float(s.max()), s, size) for s in (chance(size, k) for k in range(60))]

    assert abs(float(np.median(values))) < 0.5
    assert float(np.quantile(values, 0.95)) < 3.0


def test_scale_and_offset_of_the_scores_do_not_matter_to_the_standout() -> None:
    scores = chance(2_000, 3)
    best = float(scores.max())

    scaled = standout(best * 40 - 7, scores * np.float32(40) - np.float32(7), 2_000)

    assert scaled == pytest.approx(standout(best, scores, 2_000), abs=1e-3)


def test_a_sample_of_the_background_is_enough() -> None:
    scores = chance(100_000, 5)

    whole, part = standout(0.4, scores, 100_000), standout(0.4, scores[::25], 100_000)

    assert part == pytest.approx(whole, rel=0.2)


@pytest.mark.parametrize("size", [3, 4, 17, 1000])
def test_the_spread_is_that_of_percentiles(size: int) -> None:
    scores = chance(size, 1)
    below, centre = np.percentile(scores, [15.87, 50.0])
    beyond = standout(2.0, scores, size) - standout(1.0, scores, size)
    root = np.sqrt(2 * np.log(size))
    assert beyond == pytest.approx(root / 2 / (centre - below), rel=1e-5)


@pytest.mark.parametrize("size", [50, 1_000, 30_000])
def test_the_expected_best_is_that_of_chance(size: int) -> None:
    bests = [float(chance(size, seed).max()) for seed in range(60)]

    assert np.mean(bests) == pytest.approx(ZERO + DEVIATION * expected_best(size), abs=0.01)


def test_where_everything_fits_the_verdict_is_good() -> None:
    """Five of five right, "nothing matches well": what stands out is not what fits."""
    everything_fits = chance(500, 4) + np.float32(0.35)
    best = float(everything_fits.max())

    assert standout(best, everything_fits, 500) < 2
    assert verdict(best, everything_fits, AGAINST_MEAN) == "good match"


@pytest.mark.parametrize("size", [40, 1_000, 30_000])
def test_an_irrelevant_gallery_matches_nothing_well_at_any_size(size: int) -> None:
    best = ZERO + DEVIATION * expected_best(size)  # what chance gives

    assert verdict(best, chance(size, 2), AGAINST_MEAN) == "nothing matches well"


def test_a_single_right_picture_is_found_in_a_large_gallery() -> None:
    scores = chance(5_000, 1)
    scores[17] = 0.5

    assert verdict(0.5, scores, AGAINST_MEAN) == "good match"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_few_images_have_a_verdict_too(size: int) -> None:
    scores = np.full(size, 0.5, np.float32)

    assert verdict(0.5, scores, AGAINST_MEAN) == "good match"
    assert verdict(0.1, scores, AGAINST_MEAN) == "nothing matches well"


def test_without_a_mean_picture_a_clear_match_is_told() -> None:
    scores = chance(5_000, 1)
    scores[17] = 0.6

    assert verdict(0.6, scores, ConfidenceCalibration()) == "good match"


def test_without_a_mean_picture_nothing_is_called_bad() -> None:
    """Nothing stands out where nothing fits, and where everything does."""
    scores = chance(5_000, 2)

    assert verdict(float(scores.max()), scores, ConfidenceCalibration()) == "uncertain"


def test_without_a_mean_picture_a_tiny_gallery_leaves_it_open() -> None:
    judge = Judge(ConfidenceCalibration(), chance(5, 0), 5)

    assert (judge.of(0.9).value, judge.of(0.9).verdict) == (0.5, "uncertain")
    assert judge.is_relevant(0.0)  # what cannot be judged is not hidden


def test_no_hit_at_all_matches_nothing() -> None:
    confidence = Judge(ConfidenceCalibration(), chance(1, 0)[:0], 0).of(None)

    assert (confidence.value, confidence.verdict) == (0.0, "nothing matches well")


def test_what_is_certain_is_certain() -> None:
    confidence = Judge(AGAINST_MEAN, chance(100, 0), 100, ZERO).of(-1.0, certain=True)

    assert (confidence.value, confidence.verdict) == (1.0, "good match")


def test_equal_scores_everywhere_do_no_harm() -> None:
    flat = np.full(50, 0.3, np.float32)

    assert verdict(0.3, flat, ConfidenceCalibration()) == "uncertain"


@pytest.mark.parametrize("background", [chance(300, 1), chance(300, 1) + np.float32(0.2)])
def test_relevant_is_what_reaches_the_calibrated_value(background: FloatArray) -> None:
    judge = Judge(AGAINST_MEAN, background, 300, ZERO)
    scores = np.linspace(-0.5, 0.9, 200)
    passed = [judge.is_relevant(float(score)) for score in scores]

    assert passed == sorted(passed)
    assert any(passed)
    assert not all(passed)
    assert passed == [judge.value(float(score)) >= AGAINST_MEAN.relevant for score in scores]


ONE = ComposedQueries(np.ones((1, 1, 4), np.float32))
PAIR = ComposedQueries(np.ones((1, 2, 4), np.float32), rule="product")


@pytest.mark.parametrize(
    ("query", "composed", "composer", "kind"),
    [
        (Query(text="red"), ONE, "sum", "words"),
        (Query(image=b"x"), ONE, "sum", "image"),
        (Query(image=b"x", text="red"), ONE, "sum", "both"),
        (Query(image=b"x", text="red"), PAIR, "product", "product"),
        (Query(text="red"), ONE, "product", "words"),
        (Query(image=b"x", text="red"), ONE, "text", "words"),
        (Query(image=b"x", text="red"), ONE, "image", "image"),
        (Query(from_device=True), ONE, "isa", "both"),
    ],
)
def test_scores_of_each_kind_have_coefficients_of_their_own(
    query: Query, composed: ComposedQueries, composer: str, kind: str
) -> None:
    assert kind_of(query, composed, composer) == kind


class Calibrated(ColourModel):
    confidence_settings: ClassVar[dict[str, dict[str, float]]] = {
        "words": {"bias": 7.0},
        "image": {"excess_weight": 1.0},
        "both": {"glamour": 1.0},
    }


def test_a_model_brings_coefficients_by_kind() -> None:
    assert calibration_of(Calibrated(), "words").bias == 7.0
    assert calibration_of(Calibrated(), "product") == ConfidenceCalibration()


def test_unknown_coefficients_are_refused() -> None:
    with pytest.raises(ModelError, match="glamour"):
        calibration_of(Calibrated(), "both")


def test_coefficients_that_lack_their_mean_picture_are_refused() -> None:
    with pytest.raises(ModelError, match="mean_image"):
        calibration_of(Calibrated(), "image")


def test_bundles_with_one_set_for_all_that_has_a_picture_still_work() -> None:
    class Older(ColourModel):
        confidence_settings: ClassVar[dict[str, dict[str, float]]] = {"image": {"bias": 3.0}}

    assert calibration_of(Older(), "both").bias == 3.0
