"""Image contrast and soft text alignment, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from composir.train.mapping.losses import (  # noqa: E402
    image_contrast,
    soft_text_alignment,
)

pytestmark = pytest.mark.torch
AXES = torch.eye(2)


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(
        torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1
    )


def test_contrast_of_two_right_angles() -> None:
    loss = image_contrast(AXES, AXES, 0.5)

    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2.0)), abs=1e-6)


def test_a_further_negative_counts_for_sentences_alone() -> None:
    negative = torch.tensor([[1.0, 0.0]])
    loss = image_contrast(AXES, AXES, 0.5, negative)

    # Sentence 0 meets its own direction again, sentence 1 one more right angle.
    first = math.log(2 * math.exp(2.0) + 1) - 2.0
    second = math.log(math.exp(2.0) + 2) - 2.0
    backward = math.log(1 + math.exp(-2.0))
    assert float(loss) == pytest.approx(((first + second) / 2 + backward) / 2, abs=1e-6)


def test_no_further_negatives_change_nothing() -> None:
    sentences, vectors = unit(4, 6), unit(4, 6, seed=1)

    assert torch.equal(
        image_contrast(sentences, vectors, 0.1),
        image_contrast(sentences, vectors, 0.1, vectors[:0]),
    )


def test_alignment_of_one_picture_with_two_texts() -> None:
    sentence, vector = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    loss = soft_text_alignment(sentence, vector, AXES, 0.5, 1.0)

    p = 1 / (1 + math.exp(-2.0))
    q = 1 / (1 + math.exp(1.0))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_alignment_is_zero_where_the_sentence_is_the_picture() -> None:
    vectors, texts = unit(3, 5), unit(7, 5, seed=2)

    assert float(soft_text_alignment(vectors, vectors, texts, 0.1, 0.1)) == pytest.approx(0.0)
    assert float(soft_text_alignment(unit(3, 5, seed=3), vectors, texts, 0.1, 0.1)) > 0


def test_gradients_are_those_of_finite_differences() -> None:
    sentences = unit(3, 4).requires_grad_()
    vectors, others = unit(3, 4, seed=4), unit(5, 4, seed=5)

    assert torch.autograd.gradcheck(lambda s: image_contrast(s, vectors, 0.2, others), sentences)
    assert torch.autograd.gradcheck(
        lambda s: soft_text_alignment(s, vectors, others, 0.2, 0.3), sentences
    )


def test_the_teacher_gets_no_gradient() -> None:
    vectors = unit(3, 4).requires_grad_()
    sentences = unit(3, 4, seed=6).requires_grad_()
    soft_text_alignment(sentences, vectors, unit(5, 4, seed=7), 0.2, 0.3).backward()  # type: ignore[no-untyped-call]

    assert vectors.grad is None
    assert sentences.grad is not None
