"""Attributes: phrases told apart, by hand and on a tiny corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from attributes import (  # noqa: E402
    NO_VALUE,
    attribute_loss,
    draw_phrases,
    find_attributes,
    phrases_of,
)
from corpus import TrainingPicture, attribute_value  # noqa: E402

pytestmark = pytest.mark.torch


def picture(colour: str, split: str = "train") -> TrainingPicture:
    attributes = {"colour": colour} if colour else {}
    return TrainingPicture("shop", Path("a.jpg"), ("a shirt",), split, attributes)  # type: ignore[arg-type]


def test_only_values_seen_in_training_are_phrases() -> None:
    pictures = [picture("red"), picture("blue"), picture("mauve", "test"), picture("")]
    (colour,) = find_attributes(pictures, "shop")

    assert colour.values.tolist() == [1, 0, NO_VALUE, NO_VALUE]
    assert [texts[1] for texts in colour.phrases] == ["in blue", "in red"]
    assert "something red" in phrases_of([colour])
    assert len(draw_phrases(colour, np.random.default_rng(0))) == 2


def test_values_that_say_nothing_are_none() -> None:
    assert attribute_value("art_painting") == "art painting"
    assert attribute_value("Not sure") == attribute_value(None) == ""


def test_the_loss_by_hand() -> None:
    """Two red pictures and a blue one on the axes of their phrases, scale 1."""
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([0, 0, 1])
    e = np.e
    forward = -np.log(e / (e + 1))
    red = -np.log(e / (2 * e + 1))
    blue = -np.log(e / (e + 2))
    loss = attribute_loss(images, torch.eye(2), values, torch.tensor(1.0))

    assert float(loss) == pytest.approx((forward + (red + blue) / 2) / 2, abs=1e-6)


def test_pictures_without_a_value_take_no_part() -> None:
    images = torch.eye(2).requires_grad_()
    none = torch.full((2,), NO_VALUE)
    loss = attribute_loss(images, torch.eye(2), none, torch.tensor(1.0))

    assert float(loss.detach()) == 0.0
    alone = attribute_loss(images[:1], torch.eye(2), torch.tensor([0]), torch.tensor(5.0))
    mixed = attribute_loss(images, torch.eye(2), torch.tensor([0, NO_VALUE]), torch.tensor(5.0))
    assert float(alone.detach()) == pytest.approx(float(mixed.detach()))
