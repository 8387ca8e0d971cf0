"""Targets of sentences with a phrase, by hand; which rows get one; the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from composir.errors import TrainingError  # noqa: E402
from composir.train.steering import (  # noqa: E402  # noqa: E402
    ALONE,
    NO_PHRASE,
    Phrases,
    PhraseSteering,
    SteeringConfig,
    steering_loss,
)

pytestmark = pytest.mark.torch
X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
PHRASES = Phrases(("a sketch", "a photograph", "shiny"), (0, 0, ALONE))
ADDED = SteeringConfig(text_weight=2.0, centred=False)
REPLACED = ADDED.changed(replaced=0.5)


def targets(config: SteeringConfig, pictures: list[list[float]], phrases: list[int]) -> Tensor:
    steering = PhraseSteering(PHRASES, torch.tensor([X, Y, Z]), config)
    return steering.targets(torch.tensor(pictures), phrases)


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row]


def test_a_phrase_is_added_to_the_picture() -> None:
    found = targets(ADDED, [X, X, Z], [0, 1, 0])

    expected = ([3.0, 0.0, 0.0], [1.0, 2.0, 0.0], [2.0, 0.0, 1.0])
    assert found.tolist() == [pytest.approx(unit(row)) for row in expected]


def test_a_phrase_replaces_what_its_group_says_of_the_picture() -> None:
    # The picture's fit to the group: softmax(1 / 0.5, 0) over "a sketch" and "a photograph".
    sketch = math.exp(2.0) / (math.exp(2.0) + 1.0)
    found = targets(REPLACED, [X, X], [1, 0])

    moved = 2 * (1 - (1 - sketch))
    assert found[0].tolist() == pytest.approx(unit([1 - 2 * sketch, moved, 0.0]))
    # What is so already has little to replace.
    assert found[1].tolist() == pytest.approx(unit([1 + 2 * (1 - sketch), -2 * (1 - sketch), 0.0]))


@pytest.mark.parametrize("replaced", [0.0, 0.5])
def test_what_all_phrases_share_does_not_move_targets(replaced: float) -> None:
    """A modality gap: every text lies far off in a direction that no picture has."""
    config = SteeringConfig(text_weight=2.0, replaced=replaced)
    gap = torch.tensor([0.0, 0.0, 5.0])
    near, far = (
        PhraseSteering(PHRASES, torch.tensor([X, Y, Z]) + shift, config).targets(
            torch.tensor([X, Y, Y]), [1, 0, 2]
        )
        for shift in (torch.zeros(3), gap)
    )

    torch.testing.assert_close(near, far, atol=1e-5, rtol=0.0)
    uncentred = PhraseSteering(
        PHRASES, torch.tensor([X, Y, Z]) + gap, config.changed(centred=False)
    )
    assert float((uncentred.targets(torch.tensor([Y]), [2]) - far[2:]).abs().max()) > 0.1


def test_phrases_that_stand_alone_replace_nothing() -> None:
    assert torch.equal(targets(REPLACED, [X, Y], [2, 2]), targets(ADDED, [X, Y], [2, 2]))


def test_the_only_phrase_of_a_group_replaces_nothing() -> None:
    lonely = Phrases(PHRASES.texts, (0, 0, 1))
    steering = PhraseSteering(lonely, torch.tensor([X, Y, Z]), REPLACED)

    assert torch.equal(steering.targets(torch.tensor([X]), [2]), targets(ADDED, [X], [2]))


def test_the_share_of_rows_that_get_a_phrase_is_spread_evenly() -> None:
    steering = PhraseSteering(PHRASES, torch.eye(3), ADDED.changed(phrase_share=0.5))
    drawn = steering.draw(400, np.random.default_rng(0))

    assert [place % 2 for place, phrase in enumerate(drawn) if phrase != NO_PHRASE] == [1] * 200
    assert set(drawn) == {NO_PHRASE, 0, 1, 2}
    assert drawn == steering.draw(400, np.random.default_rng(0))


def test_the_loss_of_two_sentences_by_hand() -> None:
    goals = torch.tensor([X, Y])
    wrong = torch.tensor([X, X])

    expected = (math.log(math.e + 1) - 1 + math.log(math.e + 1)) / 2
    assert float(steering_loss(wrong, goals, 1.0)) == pytest.approx(expected, abs=1e-6)
    assert float(steering_loss(wrong, goals, 0.0)) == pytest.approx(0.5)
    assert float(steering_loss(goals, goals, 0.01)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_a_batch_without_a_phrase_costs_nothing(temperature: float) -> None:
    steering = PhraseSteering(PHRASES, torch.eye(3), ADDED.changed(phrase_share=0.1))
    drawn = steering.draw(4, np.random.default_rng(0))
    nothing = torch.zeros(0, 3)

    assert steering.rows_with_phrase(drawn) == []
    assert float(steering_loss(nothing, nothing, temperature)) == 0.0


def test_gradients_reach_the_sentences() -> None:
    torch.manual_seed(0)
    sentences = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    goals = functional.normalize(torch.randn(3, 4, dtype=torch.float64), dim=1)
    loss = steering_loss(sentences, goals, 0.2)
    loss.backward()  # type: ignore[no-untyped-call]

    step = 1e-3
    with torch.no_grad():
        for place in ((0, 0), (2, 3)):
            moved = sentences.detach().clone()
            moved[place] += step
            slope = float(steering_loss(moved, goals, 0.2) - loss) / step
            assert slope == pytest.approx(float(sentences.grad[place]), abs=5e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"phrase_share": 0.0},
        {"phrase_share": 1.5},
        {"phrase_weight": -1.0},
        {"text_weight": -1.0},
        {"temperature": -0.1},
        {"replaced": float("nan")},
    ],
)
def test_settings_that_cannot_be_computed_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        SteeringConfig().changed(**wrong)
