"""The contrast, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from contrast import contrastive_loss, soft_targets  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = pytest.mark.torch


def test_two_right_angles_give_the_value_worked_out_by_hand() -> None:
    pair = torch.eye(2)
    scale = torch.tensor(3.0)

    loss = contrastive_loss(pair, pair, torch.eye(2), scale)

    assert float(loss) == pytest.approx(math.log(1 + math.exp(-3.0)), abs=1e-6)


def test_swapped_texts_cost_the_scale_more() -> None:
    pair = torch.eye(2)
    right = contrastive_loss(pair, pair, torch.eye(2), torch.tensor(3.0))
    wrong = contrastive_loss(pair, pair.flip(0), torch.eye(2), torch.tensor(3.0))

    assert float(wrong - right) == pytest.approx(3.0, abs=1e-5)


def test_identity_targets_are_plain_cross_entropy_both_ways() -> None:
    torch.manual_seed(0)
    images, texts = (functional.normalize(torch.randn(5, 8), dim=-1) for _ in range(2))
    logits, labels = 7.0 * images @ texts.T, torch.arange(5)
    plain = functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)

    loss = contrastive_loss(images, texts, torch.eye(5), torch.tensor(7.0))

    assert float(loss) == pytest.approx(float(plain) / 2, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rows_of_soft_targets_sum_to_one_and_identical_texts_share_equally(share: float) -> None:
    sentences = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])

    targets = soft_targets(sentences, share, 0.1)

    assert torch.allclose(targets.sum(1), torch.ones(3), atol=1e-6)
    assert targets[0, 0] == pytest.approx(float(targets[0, 2]))


def test_without_a_share_only_identical_texts_count() -> None:
    sentences = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    expected = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])

    assert torch.equal(soft_targets(sentences, 0.0, 0.1), expected)
