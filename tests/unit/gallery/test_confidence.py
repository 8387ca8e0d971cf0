"""Confidence: chance is told from signal, whatever the gallery's size and the scores' scale."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from composir.compose import load_composer
from composir.compose.trained import Templates
from composir.gallery.confidence import (
    ConfidenceCalibration,
    calibration_of,
    judge,
    standout,
)
from composir.model import Model
from composir.types import FloatArray, Query
from tests.tiny_bundle import make_bundle, make_composer


def chance(size: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0.1, 0.05, size).astype(np.float32)


@pytest.mark.parametrize("size", [100, 1_000, 30_000])
def test_chance_has_a_standout_of_about_zero_at_any_size(size: int) -> None:
    values = [standout(float(s.max()), s, size) for s in (chance(size, k) for k in range(60))]

    assert abs(float(np.median(values))) < 0.5
    assert float(np.quantile(values, 0.95)) < 3.0


def test_a_clear_match_stands_out() -> None:
    scores = chance(5_000, 1)
    scores[17] = 0.6

    assert standout(0.6, scores, 5_000) > 5
    assert judge(0.6, scores, 5_000).verdict == "good match"


def test_an_irrelevant_gallery_matches_nothing_well() -> None:
    scores = chance(5_000, 2)

    assert judge(float(scores.max()), scores, 5_000).verdict == "nothing matches well"


def test_scale_and_offset_of_the_scores_do_not_matter() -> None:
    scores = chance(2_000, 3)
    best = float(scores.max())

    scaled = standout(best * 40 - 7, scores * np.float32(40) - np.float32(7), 2_000)

    assert scaled == pytest.approx(standout(best, scores, 2_000), abs=1e-3)


def test_many_relevant_images_do_not_hide_each_other() -> None:
    scores = chance(1_000, 4)
    scores[:200] = 0.5

    assert judge(0.5, scores, 1_000).verdict == "good match"


def test_a_sample_of_the_background_is_enough() -> None:
    scores = chance(100_000, 5)

    whole, part = standout(0.4, scores, 100_000), standout(0.4, scores[::25], 100_000)

    assert part == pytest.approx(whole, rel=0.2)


def test_tiny_and_empty_galleries() -> None:
    assert judge(0.9, chance(5, 0), 5).verdict == "uncertain"
    assert judge(None, chance(1, 0)[:0], 0).value == 0.0


def test_equal_scores_everywhere_are_no_match_and_no_crash() -> None:
    assert judge(0.3, np.full(50, 0.3, np.float32), 50).verdict == "nothing matches well"


def test_a_calibration_moves_the_verdicts() -> None:
    scores = chance(500, 6)
    generous = ConfidenceCalibration(bias=5.0, standout_weight=0.0)

    assert judge(0.1, scores, 500, generous).verdict == "good match"
    by_score = ConfidenceCalibration(bias=-3.0, standout_weight=0.0, score_weight=10.0)
    assert judge(0.9, scores, 500, by_score).value > judge(0.1, scores, 500, by_score).value


@pytest.mark.parametrize("size", [3, 4, 17, 1000])
def test_the_spread_is_that_of_percentiles(size: int) -> None:
    scores = chance(size, 1)
    below, centre = np.percentile(scores, [15.87, 50.0])
    beyond = standout(2.0, scores, size) - standout(1.0, scores, size)
    root = np.sqrt(2 * np.log(size))
    assert beyond == pytest.approx(root / 2 / (centre - below), rel=1e-5)


def test_only_the_model_s_own_default_composer_has_its_coefficients(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    make_composer(tmp_path / "tiny" / "composers" / "best", model, "vector", name="best")
    other_words = Templates(composed="a picture of {} {text}")
    make_composer(tmp_path / "mine", model, "vector", name="best", templates=other_words)
    whole = make_bundle(tmp_path / "tiny")

    class Calibrated(Model):
        default_composer = "best"
        confidence_settings: ClassVar[dict[str, dict[str, float]]] = {"words": {"bias": 7.0}}

    calibrated = Calibrated(whole.bundle)
    own, other = (
        load_composer("best", calibrated),
        load_composer(str(tmp_path / "mine"), calibrated),
    )
    assert calibration_of(calibrated, Query(text="red"), own).bias == 7.0
    assert calibration_of(calibrated, Query(text="red"), other) == ConfidenceCalibration()
