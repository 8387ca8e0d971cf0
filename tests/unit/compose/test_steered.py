"""Queries moved by hand: where they go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from composir.compose import load_composer
from composir.compose.base import QueryBatch
from composir.compose.steered import Steered, Steering
from composir.errors import QueryError
from tests.fakes import ColourModel

MODEL = ColourModel()
BLUE, RED, GREEN = MODEL.encode_texts(["blue", "red", "green"])


def steered(batch: QueryBatch, **moved: Any) -> np.ndarray:
    name = "text" if batch.image_vectors is None else "sum"
    composer = Steered(load_composer(name, MODEL), MODEL, Steering(**moved))
    return np.asarray(composer.compose(batch).vectors[0, 0])


BATCH = QueryBatch(("red",), image_vectors=BLUE[None])


def test_the_ends_of_the_balance_are_the_picture_and_the_words() -> None:
    np.testing.assert_allclose(steered(BATCH, balance=0.0), BLUE, atol=1e-6)
    np.testing.assert_allclose(steered(BATCH, balance=1.0), RED, atol=1e-6)


def test_a_balance_moves_towards_its_end() -> None:
    similarities = [float(steered(BATCH, balance=b) @ BLUE) for b in (0.8, 0.5, 0.2)]
    assert similarities[0] + 0.05 < similarities[1] < similarities[2] - 0.05


def test_a_picture_that_stayed_on_its_device_is_an_end_too() -> None:
    words = QueryBatch(("red",))
    np.testing.assert_allclose(steered(words, balance=0.0, reference=BLUE), BLUE, atol=1e-6)


def test_feedback_moves_towards_what_is_liked_and_away_from_what_is_not() -> None:
    plain = float(steered(BATCH) @ GREEN)
    assert float(steered(BATCH, more=GREEN[None]) @ GREEN) > plain + 0.05
    assert float(steered(BATCH, less=GREEN[None]) @ GREEN) < plain - 0.05


def test_a_balance_needs_a_picture_and_words() -> None:
    with pytest.raises(QueryError, match="between a picture and words"):
        steered(QueryBatch(("red",)), balance=0.2)
    with pytest.raises(QueryError, match="goes from 0"):
        Steering(balance=2.0)
