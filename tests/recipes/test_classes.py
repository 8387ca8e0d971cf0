"""Class names of the trunk's own classifier as soft targets, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from classes import Likely, class_loss, class_texts, draw_classes  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_loss_by_hand() -> None:
    """One picture on the axis of class 4, which its classifier gives three quarters."""
    likely = Likely(torch.tensor([[4, 9]]), torch.tensor([[0.75, 0.25]]))
    names, images = torch.eye(2), torch.tensor([[1.0, 0.0]])
    loss = class_loss(images, names, likely, torch.tensor([4, 9]), torch.tensor(2.0))

    far, near = math.log(1 + math.exp(2.0)), math.log(1 + math.exp(-2.0))
    assert float(loss) == pytest.approx(0.75 * near + 0.25 * far, abs=1e-6)


def test_classes_that_take_no_part_leave_their_share_to_the_others() -> None:
    likely = Likely(torch.tensor([[4, 9]]), torch.tensor([[0.75, 0.25]]))
    images, names = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    loss = class_loss(images, names, likely, torch.tensor([4, 7]), torch.tensor(2.0))

    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2.0)), abs=1e-6)


def test_the_likeliest_classes_of_every_picture_take_part() -> None:
    likely = Likely(torch.tensor([[4, 9, 2, 7], [1, 4, 3, 8]]), torch.full((2, 4), 0.25))
    chosen = draw_classes(likely, 5, 1000, np.random.default_rng(0))

    assert {4, 9, 1} <= set(chosen.tolist())
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) <= 10


def test_a_name_has_several_wordings() -> None:
    assert "a photo of a tench" in class_texts(["tench"])[0]
