"""The blend, worked out by hand on orthogonal vectors."""

from __future__ import annotations

import numpy as np
import pytest

from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.sphere import normalised
from composir.errors import QueryError
from composir.types import FloatArray

Q, S, V, T = np.eye(4, dtype=np.float32)[:, None]


ALL = Terms(lambda: Q, lambda: S, lambda: V, lambda: T)
ALONE = Terms(sentence=lambda: S, image=lambda: V)


def unit(*numbers: float) -> FloatArray:
    row = np.array([numbers], dtype=np.float32)
    return normalised(np.asarray(row, dtype=np.float32))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, unit(1, 0, 0, 0)),
        ({"direction": 1.5, "image": 1.0, "sentence": 0.0}, unit(1.5, -1.5, 1, 0)),
        ({"sentence": 1.0, "direction": 0.5, "image": 0.2, "text": 0.3}, unit(1.5, -0.5, 0.2, 0.3)),
        ({"sentence": 0.0, "text": 2.0}, unit(0, 0, 0, 1)),
    ],
)
def test_image_and_words(weights: dict[str, float], expected: FloatArray) -> None:
    np.testing.assert_allclose(blend(BlendWeights().changed(weights), ALL), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, unit(0, 1, 0, 0)),
        ({"sentence": 2.0, "image": 1.0}, unit(0, 0, 1, 0)),
        ({"sentence": 0.0, "direction": 1.0}, unit(0, 1, 0, 0)),
        ({"sentence": 0.0, "direction": 1.0, "image": 1.0}, unit(0, 0, 1, 0)),
    ],
)
def test_an_image_alone(weights: dict[str, float], expected: FloatArray) -> None:
    np.testing.assert_allclose(blend(BlendWeights().changed(weights), ALONE), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("share", "image", "expected"),
    [
        (0.0, 1.0, unit(2, -2, 1, 0)),
        (1.0, 1.0, unit(0, 0, 1, 3)),
        (0.5, 1.0, unit(1, -1, 1, 1.5)),
        (1.0, 0.0, unit(0, 1, 0, 3)),
    ],
)
def test_a_text_that_describes_all_is_summed_with_the_reference(
    share: float, image: float, expected: FloatArray
) -> None:
    weights = BlendWeights(sentence=0.0, direction=2.0, image=image, description=3.0)
    described = np.array([[share]], dtype=np.float32)
    terms = Terms(lambda: Q, lambda: S, lambda: V, lambda: T, described=lambda: described)

    np.testing.assert_allclose(blend(weights, terms), expected, atol=1e-6)
    without = weights.changed({"description": 0.0})
    np.testing.assert_array_equal(blend(without, terms), blend(without, ALL))


def test_words_alone_are_the_texts_vector() -> None:
    weights = BlendWeights(sentence=0.0, direction=1.0)

    np.testing.assert_array_equal(blend(weights, Terms(text=lambda: T)), T)


def test_what_has_no_weight_is_not_computed() -> None:
    def never() -> FloatArray:
        raise AssertionError

    only = Terms(lambda: Q, never, never, never)
    np.testing.assert_array_equal(blend(BlendWeights(), only), Q)


def test_remembered_terms_are_computed_once() -> None:
    calls: list[int] = []

    def count() -> FloatArray:
        calls.append(1)
        vector: FloatArray = T
        return vector

    terms = Terms(text=count).remembered()
    blend(BlendWeights(), terms)
    blend(BlendWeights(text=0.5), terms)

    assert len(calls) == 1


def test_nothing_cannot_be_blended() -> None:
    with pytest.raises(QueryError, match="an empty query"):
        blend(BlendWeights(), Terms())


def test_weights_change_by_name_and_are_checked() -> None:
    assert BlendWeights().changed({"image": 1}).image == 1.0
    with pytest.raises(QueryError, match=r"alpha.*its settings are sentence, direction, image"):
        BlendWeights().changed({"alpha": 1.0})
    with pytest.raises(QueryError, match=r"image: .*greater than or equal to 0"):
        BlendWeights().changed({"image": -1.0})
    with pytest.raises(QueryError, match="all weights of the blend are 0"):
        BlendWeights().changed({"sentence": 0.0})
    with pytest.raises(QueryError, match=r"text: .*finite"):
        BlendWeights().changed({"text": float("nan")})
