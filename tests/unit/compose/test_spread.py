"""Spreads of similarities, worked out on clouds of known shape."""

from __future__ import annotations

import numpy as np
import pytest

from composir.compose import load_composer
from composir.compose.base import QueryBatch
from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.spread import evening_by, evening_factors, factor_of
from composir.errors import QueryError
from composir.types import FloatArray
from tests.fakes import ColourModel


def cloud(*deviations: float) -> FloatArray:
    """Pictures that spread so far along each axis, and not together along any two."""
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * len(deviations))).reshape(len(deviations), -1).T
    return np.asarray(signs * np.array(deviations) + 3.0, dtype=np.float32)


def test_the_factors_square_is_the_covariance() -> None:
    factor = factor_of(cloud(2.0, 1.0, 0.0))
    np.testing.assert_allclose(factor.T @ factor, np.diag([4.0, 1.0, 0.0]), atol=1e-5)


def test_a_vectors_spread_is_that_of_its_similarities() -> None:
    pictures = cloud(2.0, 1.0, 0.5)
    asked = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 3.0, 4.0]], dtype=np.float32)
    expected = (pictures @ asked.T).std(axis=0)
    evened = asked * evening_factors(asked, factor_of(pictures))
    spreads = (pictures @ evened.T).std(axis=0)
    np.testing.assert_allclose(spreads, 1.0, rtol=1e-4)
    assert np.ptp(expected) > 0.5  # they differed before


def test_what_is_nothing_stays_nothing() -> None:
    zeros = np.zeros((2, 3), dtype=np.float32)
    assert evening_factors(zeros, factor_of(cloud(2.0, 1.0, 0.5))).tolist() == [[0.0], [0.0]]


def test_a_direction_without_any_spread_stays_finite() -> None:
    along = np.array([[0.0, 0.0, 1.0]], dtype=np.float32)
    assert np.isfinite(evening_factors(along, factor_of(cloud(2.0, 1.0, 0.0)))).all()


V, T = np.eye(2, dtype=np.float32)[:, None]
FACTOR = np.diag([4.0, 1.0]).astype(np.float32)  # to pictures, v's similarities spread most


def terms(factor: FloatArray | None) -> Terms:
    other = np.array([[0.0, 0.0]], dtype=np.float32)
    return Terms(lambda: other, lambda: other, lambda: V, lambda: T, evening=evening_by(factor))


@pytest.mark.parametrize(("evened", "ratio"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_evened_terms_say_as_much_as_their_weights(evened: float, ratio: float) -> None:
    weights = BlendWeights(sentence=0.0, image=0.5, text=0.5, evened=evened)
    made = blend(weights, terms(FACTOR))[0]
    np.testing.assert_allclose(made[1] / made[0], ratio, rtol=1e-5)


def test_one_vector_alone_is_itself() -> None:
    weights = BlendWeights(sentence=0.0, image=0.5, text=0.5, evened=1.0)
    np.testing.assert_array_equal(blend(weights, Terms(text=lambda: T)), T)


def test_a_model_that_does_not_know_its_spread_says_so() -> None:
    weights = BlendWeights(sentence=0.0, image=0.5, text=0.5, evened=1.0)
    with pytest.raises(QueryError, match="set evened to 0"):
        blend(weights, terms(None))


def test_a_change_is_evened_as_one() -> None:
    """The direction q - s, and not q and s each."""
    q, s = (np.array([row], dtype=np.float32) for row in ([1.0, 0.0], [0.0, 1.0]))
    made = Terms(lambda: q, lambda: s, lambda: V, lambda: T, evening=evening_by(FACTOR))
    weights = BlendWeights(sentence=0.0, direction=1.0, evened=1.0)
    np.testing.assert_allclose(blend(weights, made)[0], np.array([1, -1]) / np.sqrt(2), rtol=1e-5)


def test_the_setting_is_written_only_where_it_says_something() -> None:
    assert "evened" not in BlendWeights().model_dump()
    assert BlendWeights().changed({"evened": 1}).model_dump()["evened"] == 1.0
    with pytest.raises(QueryError, match="evened"):
        BlendWeights().changed({"evened": 2})


class Spread(ColourModel):
    """Colours whose pictures differ four times as much in red as in anything else."""

    spread = np.diag([4.0, 1.0, 1.0, 1.0]).astype(np.float32)


def test_a_sum_can_be_evened() -> None:
    picture = np.array([[1.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    model = Spread()
    text = model.encode_texts(["blue"])
    batch = QueryBatch(("blue",), picture)
    made = load_composer("sum", model, evened=1.0).compose(batch).vectors[0, 0]
    factors = [evening_factors(x, model.spread) for x in (picture, text)]
    expected = picture * factors[0] + text * factors[1]
    np.testing.assert_allclose(made, expected[0] / np.linalg.norm(expected), rtol=1e-5)
    assert factors[0] < factors[1]


def test_a_sum_refuses_what_it_cannot_even() -> None:
    batch = QueryBatch(("blue",), np.eye(4, dtype=np.float32)[:1])
    with pytest.raises(QueryError, match="set evened to 0"):
        load_composer("sum", ColourModel(), evened=1.0).compose(batch)
    with pytest.raises(QueryError, match="from 0 to 1"):
        load_composer("sum", Spread(), evened=2.0)
