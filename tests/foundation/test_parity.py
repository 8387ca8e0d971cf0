"""Figures of parity: what counts as the same ranking, and what is out of bounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import ModelError
from composir.foundation.parity import Parity, agreement, gallery, to_bytes
from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray

GOOD = Parity(pixels=1, image=1e-5, text=1e-4, top10_images=1.0, top10_texts=1.0)


def unit(rows: NDArray[np.float64]) -> FloatArray:
    made: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


def test_the_same_vectors_agree_and_others_by_chance_alone() -> None:
    generator = np.random.default_rng(0)
    pictures, others = (unit(generator.normal(size=(24, 16))) for _ in range(2))
    assert agreement(pictures, pictures, pictures, pictures) == 1.0
    assert 0.2 < agreement(pictures, pictures, others, others) < 0.7


def test_a_swap_of_equals_is_no_difference() -> None:
    pictures = unit(np.repeat(np.eye(4), 6, axis=0))
    turned = pictures + np.random.default_rng(0).normal(0, 1e-8, pictures.shape).astype(np.float32)
    assert agreement(pictures[:4], pictures, turned[:4], turned) == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pixels", 2.0),
        ("image", 1.1e-4),
        ("text", float("nan")),
        ("top10_images", 0.99),
        ("top10_texts", 0.0),
    ],
)
def test_each_figure_has_its_bound(field: str, value: float) -> None:
    GOOD.check()
    with pytest.raises(ModelError, match=field):
        GOOD.model_copy(update={field: value}).check()


def test_pixels_that_nobody_can_compare_are_said_to_be_so() -> None:
    uncompared = GOOD.model_copy(update={"pixels": None})
    uncompared.check()
    assert "not compared" in uncompared.lines()[0]
    assert "not compared" not in GOOD.lines()[0]


def test_figures_come_back_from_a_manifest() -> None:
    assert Parity.model_validate(GOOD.model_dump()) == GOOD


def test_the_gallery_is_always_the_same_and_has_awkward_sizes() -> None:
    first, second = gallery(), gallery()
    assert [np.asarray(a).tobytes() for a in first] == [np.asarray(b).tobytes() for b in second]
    sizes = {picture.size for picture in first}
    assert {(1, 301), (301, 1), (300, 497), (497, 300)} <= sizes


def test_normalised_pixels_come_back_as_bytes() -> None:
    spec = PreprocessSpec(size=4, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    normalised = (pixels / 255 - np.array(spec.mean)) / np.array(spec.std)
    assert np.array_equal(to_bytes(normalised.transpose(2, 0, 1).astype(np.float32), spec), pixels)
