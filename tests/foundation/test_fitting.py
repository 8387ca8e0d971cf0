"""Settings of a new bundle: measured on labelled pictures, left alone where nothing can be told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from composir.foundation.calibration import auc, chosen_limits, logistic
from composir.foundation.fitting import (
    Sample,
    SampleQuery,
    copies,
    copy_limit,
    fit_settings,
    read_sample,
)
from composir.gallery.confidence import ConfidenceCalibration, Judge
from composir.types import FloatArray, PixelArray
from tests.fakes import COLOURS, ColourModel

NAMES = ("red", "green", "blue", "yellow", "magenta", "cyan")


class NoiseModel(ColourModel):
    """Vectors that say nothing of a picture or a text."""

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        return noise(pixels.reshape(len(pixels), -1).sum(axis=1))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        return noise([sum(text.encode()) for text in texts])


def noise(seeds: Sequence[int] | PixelArray) -> FloatArray:
    rows = [np.random.default_rng(int(seed)).standard_normal(16) for seed in seeds]
    unit = np.stack([row / np.linalg.norm(row) for row in rows])
    return unit.astype(np.float32)


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Eight shades of each of six colours; queries ask one colour for another."""
    draw = np.random.default_rng(0)
    kinds = tuple(name for name in NAMES for _ in range(8))
    shades = [np.clip(COLOURS[kind] + draw.normal(0, 40, 3), 0, 255) for kind in kinds]
    pictures = tuple(Image.new("RGB", (60, 60), tuple(shade.astype(int))) for shade in shades)
    queries = []
    for place in range(len(kinds)):
        wanted = NAMES[(place + 1) % len(NAMES)]
        targets = tuple(at for at, kind in enumerate(kinds) if kind == wanted and at != place)
        queries.append(SampleQuery(place, wanted, targets))
    return Sample(pictures, kinds, tuple(queries))


def test_a_model_that_knows_the_pictures_is_trusted_as_far_as_it_is_right(sample: Sample) -> None:
    said: list[str] = []
    made = fit_settings(ColourModel(), sample, said.append)

    words = ConfidenceCalibration(**made.fields["confidence"]["words"])
    assert words.excess_weight > 0
    assert words.spread > 0
    vectors = ColourModel().encode_images(sample.pictures)
    red = ColourModel().encode_texts(["red"])[0]
    values = [
        Judge(words, gallery @ red, len(gallery), float(made.mean @ red)).value(
            float((gallery @ red).max())
        )
        for gallery in (vectors, vectors[8:])
    ]
    assert values[0] > words.good
    assert values[1] < values[0]
    assert any("words" in line and "of pairs" in line for line in said)


def test_the_words_weigh_as_much_as_finds_most(sample: Sample) -> None:
    made = fit_settings(ColourModel(), sample, lambda _line: None).fields

    assert made["default_composer"] in {"sum", "slerp"}
    # The words alone say everything of what is wanted here, so they weigh more than the picture.
    assert made["composers"]["sum"]["alpha"] > 0.5


def test_a_model_that_knows_nothing_keeps_the_general_confidence(sample: Sample) -> None:
    said: list[str] = []
    made = fit_settings(NoiseModel(), sample, said.append)

    assert "words" not in made.fields["confidence"]
    assert "both" not in made.fields["confidence"]
    assert any("words" in line and "the general one stays" in line for line in said)


def test_every_copy_that_was_measured_is_within_the_limit() -> None:
    pictures = read_sample().pictures[:12]
    limit = copy_limit(ColourModel(), pictures)

    small = pictures[0].resize((85, 85), Image.Resampling.LANCZOS)
    original, *made = ColourModel().encode_images([small, *copies(small)])
    assert -1.0 <= limit < 1.0
    assert all(float(copy @ original) >= limit for copy in made)


def test_the_packaged_sample_is_whole() -> None:
    told = read_sample()

    assert len(told.pictures) == len(told.kinds) == 96
    assert {told.kinds.count(kind) for kind in told.kinds} == {6}
    assert all(query.targets and query.reference not in query.targets for query in told.queries)
    assert max(max(query.targets) for query in told.queries) < 96


def test_logistic_regression_finds_the_coefficients_that_made_the_answers() -> None:
    draw = np.random.default_rng(0)
    x = np.stack([np.ones(20_000), draw.normal(0, 1, 20_000)], axis=1)
    y = (draw.random(20_000) < 1 / (1 + np.exp(-(0.5 + 2.0 * x[:, 1])))).astype(np.float64)

    np.testing.assert_allclose(logistic(x, y, np.ones(20_000)), [0.5, 2.0], atol=0.1)


def test_the_area_is_one_where_good_answers_are_higher_and_half_where_all_are_equal() -> None:
    right = np.array([0.0, 0.0, 1.0, 1.0])

    assert auc(np.array([0.1, 0.2, 0.3, 0.4]), right) == 1.0
    assert auc(np.array([0.2, 0.2, 0.2, 0.2]), right) == 0.5
    assert np.isnan(auc(np.array([0.1, 0.2]), np.ones(2)))


def test_the_words_of_the_confidence_begin_where_they_are_mostly_right() -> None:
    values = np.array([0.05] * 20 + [0.66] * 10 + [0.9] * 10)
    right = np.array([0.0] * 20 + [0.0] * 5 + [1.0] * 5 + [1.0] * 10)

    assert chosen_limits(values, right, np.ones(40)) == (0.7, 0.3)
