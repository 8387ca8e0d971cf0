"""The token learner: shapes, attention that sums to one, word-like tokens, every choice."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import TrainingError  # noqa: E402
from composir.train.isa.token_learner import TokenLearner, TokenLearnerConfig  # noqa: E402
from composir.train.word_statistics import WordStatistics  # noqa: E402

pytestmark = pytest.mark.torch
WORDS = WordStatistics(torch.linspace(-1, 1, 24), torch.full((24,), 0.05), norm=1.4)
SMALL = TokenLearnerConfig(num_tokens=3, width=16, attention_width=8, heads=4)


def learner(**changes: object) -> TokenLearner:
    torch.manual_seed(0)
    return TokenLearner(12, 24, SMALL.changed(**changes), WORDS).eval()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"softmax": "tokens"},
        {"kind": "mlp"},
        {"refinement_blocks": 0},
        {"refinement_blocks": 2, "norm": "batch", "activation": "relu"},
        {"num_tokens": 1, "norm": "none"},
    ],
)
def test_tokens_and_attention(changes: dict[str, object]) -> None:
    made = learner(**changes)
    tokens, attention = made(torch.randn(2, 12, 4, 5))
    count = made.config.num_tokens

    assert tokens.shape == (2, count, 24)
    assert attention.shape == (2, count, 4, 5)
    assert torch.allclose(attention.sum((2, 3)), torch.ones(2, count), atol=1e-5)
    assert float(attention.detach().min()) >= 0


def test_tokens_have_the_statistics_of_words() -> None:
    tokens, _ = learner()(torch.randn(2, 12, 4, 4) * 9)
    standard = (tokens - WORDS.mean) / WORDS.deviation

    assert torch.allclose(standard.mean(-1), torch.zeros(2, 3), atol=1e-4)
    assert torch.allclose(standard.std(-1, correction=0), torch.ones(2, 3), atol=1e-2)


def test_tokens_have_the_norm_of_words_or_their_own() -> None:
    features = torch.randn(2, 12, 4, 4)

    norms = learner(output="norm")(features)[0].norm(dim=-1)
    assert torch.allclose(norms, torch.full((2, 3), 1.4), atol=1e-5)
    assert not torch.allclose(learner(output="none")(features)[0].norm(dim=-1), norms)


def test_a_token_looks_at_what_stands_out() -> None:
    made = learner(num_tokens=1)
    features = torch.zeros(1, 12, 3, 3)
    features[0, :, 1, 2] = 5.0
    attention = made(features)[1][0, 0]

    others = attention.flatten()[torch.arange(9) != 5]
    assert torch.allclose(others, others[0].expand(8))
    assert not torch.isclose(attention[1, 2], others[0])


def test_the_perceptron_looks_everywhere_alike() -> None:
    attention = learner(kind="mlp")(torch.randn(1, 12, 2, 2))[1]

    assert torch.allclose(attention, torch.full_like(attention, 0.25))


def test_every_weight_gets_a_gradient() -> None:
    made = learner().train()
    made(torch.randn(4, 12, 4, 4))[0].square().sum().backward()

    # The last bias only shifts what is standardised afterwards; it still has its own direction.
    still = [name for name, p in made.named_parameters() if p.grad is None]
    assert still == []


@pytest.mark.parametrize("changes", [{"num_tokens": 0}, {"heads": 5}, {"dropout": 1.0}])
def test_numbers_out_of_range_are_named(changes: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match=r"num_tokens|heads|dropout"):
        SMALL.changed(**changes)
