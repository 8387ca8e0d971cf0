"""Every loss against values worked out by hand; gradients against finite differences."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from composir.train.losses import (  # noqa: E402
    alignment_loss,
    contrastive_loss,
    distillation_loss,
    hard_negative_contrast,
    late_interaction,
    matching_loss,
    symmetric_contrast,
)

pytestmark = pytest.mark.torch
X, Y = [1.0, 0.0], [0.0, 1.0]
AXES = torch.eye(2)


def test_contrast_of_two_pictures_by_hand() -> None:
    # Row 0: logits (1/0.5, 0) with its own picture first; row 1 is wrong: (1/0.5, 0), own second.
    loss = contrastive_loss(torch.tensor([X, X]), torch.tensor([X, Y]), temperature=0.5)

    right = math.log(math.exp(2.0) + 1.0) - 2.0
    wrong = math.log(math.exp(2.0) + 1.0) - 0.0
    assert float(loss) == pytest.approx((right + wrong) / 2, abs=1e-6)


def test_the_queue_adds_negatives_and_masked_columns_do_not_count() -> None:
    sentences, targets = torch.tensor([X]), torch.tensor([X, Y, X])
    everything = contrastive_loss(sentences, targets, 1.0)
    masked = contrastive_loss(sentences, targets, 1.0, torch.tensor([[True, True, False]]))

    assert float(everything) == pytest.approx(math.log(2 * math.e + 1) - 1, abs=1e-6)
    assert float(masked) == pytest.approx(math.log(math.e + 1) - 1, abs=1e-6)


def test_distillation_by_hand() -> None:
    # Teacher of row 0: softmax(1, 0); the student sees (0, 1): KL = (p - q) . (log p - log q).
    loss = distillation_loss(torch.tensor([Y]), torch.tensor([X]), AXES, 1.0, 1.0)

    p = math.e / (math.e + 1)
    assert float(loss) == pytest.approx(p * 1.0 + (1 - p) * -1.0, abs=1e-6)


def test_distillation_is_zero_for_a_student_that_equals_its_teacher() -> None:
    vectors = functional.normalize(torch.randn(5, 4), dim=1)
    valid = torch.ones(5, 5, dtype=torch.bool)
    valid[0, 3] = False

    assert float(distillation_loss(vectors, vectors, vectors, 0.1, 0.1, valid)) == pytest.approx(
        0, abs=1e-6
    )
    assert float(distillation_loss(vectors, vectors, vectors, 0.1, 0.3)) > 0.01


def test_a_sharper_teacher_asks_for_more() -> None:
    student, teacher = torch.tensor([Y]), torch.tensor([X])

    soft = distillation_loss(student, teacher, AXES, 1.0, 1.0)
    assert float(distillation_loss(student, teacher, AXES, 0.1, 1.0)) > float(soft)


def test_late_interaction_takes_each_words_best_patch() -> None:
    states = torch.tensor([[X, Y]])
    patches = torch.tensor([[X, X], [X, Y]])

    assert late_interaction(states, patches).tolist() == [[0.5, 1.0]]


def test_alignment_by_hand_and_in_groups() -> None:
    states = torch.tensor([[X], [Y]])
    patches = torch.tensor([[X], [Y]])

    assert float(alignment_loss(states, patches, 1.0)) == pytest.approx(
        math.log(1 + math.exp(-1)), abs=1e-6
    )
    # A group of one has nobody to be told apart from.
    assert float(alignment_loss(states, patches, 1.0, group=1)) == pytest.approx(0.0, abs=1e-6)


def test_matching_draws_the_only_other_picture_as_hard_negative() -> None:
    def matcher(tokens: Tensor, patches: Tensor) -> Tensor:
        return 2.0 * (tokens[:, 0] * patches[:, 0]).sum(1)

    tokens = torch.tensor([[X], [Y]])
    loss = matching_loss(matcher, tokens, tokens, torch.tensor([X, Y]), temperature=0.1)

    match, wrong = math.log(1 + math.exp(-2.0)), math.log(2.0)
    assert float(loss) == pytest.approx((match + 2 * wrong) / 3, abs=1e-6)


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(
        torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1
    )


def test_contrast_both_ways_of_two_right_angles() -> None:
    loss = symmetric_contrast(AXES, AXES, 0.5)

    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2.0)), abs=1e-6)


def test_a_further_negative_counts_for_sentences_alone() -> None:
    negative = torch.tensor([[1.0, 0.0]])
    loss = symmetric_contrast(AXES, AXES, 0.5, negative)

    # Sentence 0 meets its own direction again, sentence 1 one more right angle.
    first = math.log(2 * math.exp(2.0) + 1) - 2.0
    second = math.log(math.exp(2.0) + 2) - 2.0
    backward = math.log(1 + math.exp(-2.0))
    assert float(loss) == pytest.approx(((first + second) / 2 + backward) / 2, abs=1e-6)


def test_no_further_negatives_change_nothing() -> None:
    sentences, vectors = unit(4, 6), unit(4, 6, seed=1)

    assert torch.equal(
        symmetric_contrast(sentences, vectors, 0.1),
        symmetric_contrast(sentences, vectors, 0.1, vectors[:0]),
    )


def test_distillation_of_one_picture_among_two_texts() -> None:
    sentence, vector = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    loss = distillation_loss(sentence, vector, AXES, 0.5, 1.0)

    p = 1 / (1 + math.exp(-2.0))
    q = 1 / (1 + math.exp(1.0))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_distillation_is_zero_where_the_sentence_is_the_picture() -> None:
    vectors, texts = unit(3, 5), unit(7, 5, seed=2)

    assert float(distillation_loss(vectors, vectors, texts, 0.1, 0.1)) == pytest.approx(0.0)
    assert float(distillation_loss(unit(3, 5, seed=3), vectors, texts, 0.1, 0.1)) > 0


def test_gradients_are_those_of_finite_differences() -> None:
    sentences = unit(3, 4).requires_grad_()
    vectors, others = unit(3, 4, seed=4), unit(5, 4, seed=5)

    assert torch.autograd.gradcheck(
        lambda s: symmetric_contrast(s, vectors, 0.2, others), sentences
    )
    assert torch.autograd.gradcheck(
        lambda s: distillation_loss(s, vectors, others, 0.2, 0.3), sentences
    )


def test_the_teacher_gets_no_gradient() -> None:
    vectors = unit(3, 4).requires_grad_()
    sentences = unit(3, 4, seed=6).requires_grad_()
    distillation_loss(sentences, vectors, unit(5, 4, seed=7), 0.2, 0.3).backward()  # type: ignore[no-untyped-call]

    assert vectors.grad is None
    assert sentences.grad is not None


def test_hard_negatives_count_where_they_are_valid() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    hard = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    mask = torch.tensor([[True, True, True], [False, True, False]])
    first = -1.0 / 0.5 + math.log(math.exp(2.0) + math.exp(0.6 / 0.5) + math.exp(0.0))

    loss = hard_negative_contrast(queries, targets, hard, mask, temperature=0.5)
    assert float(loss) == pytest.approx((first + 0.0) / 2, abs=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, t: contrastive_loss(s, t, 0.2),
        lambda s, t: distillation_loss(s, t[:3], t, 0.2, 0.3),
    ],
)
def test_gradients_of_global_losses(loss: object) -> None:
    torch.manual_seed(0)
    sentences, targets = torch.randn(3, 4), functional.normalize(torch.randn(5, 4), dim=1)
    check_gradient(lambda s: loss(s, targets), sentences)  # type: ignore[operator]


def test_gradients_of_alignment_reach_states_and_patches() -> None:
    torch.manual_seed(0)
    states, patches = torch.randn(3, 2, 4), torch.randn(3, 5, 4)

    check_gradient(lambda s: alignment_loss(s, patches, 0.5), states)
    check_gradient(lambda p: alignment_loss(states, p, 0.5), patches)


def check_gradient(function: object, at: Tensor) -> None:
    """A few directional derivatives in float32."""
    point = at.clone().requires_grad_()
    function(point).backward()  # type: ignore[operator]
    assert point.grad is not None
    for seed in range(3):
        direction = torch.randn(at.shape, generator=torch.Generator().manual_seed(seed))
        ahead, behind = (function(at + e * direction) for e in (1e-2, -1e-2))  # type: ignore[operator]
        expected = float(ahead - behind) / 2e-2
        assert float((point.grad * direction).sum()) == pytest.approx(expected, rel=0.03, abs=3e-3)
