"""The token learner: shapes, attention that sums to one, word-like tokens, every choice."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch.nn import functional  # noqa: E402

from composir.errors import TrainingError  # noqa: E402
from composir.train.frozen import WordStatistics  # noqa: E402
from composir.train.isa.token_learner import TokenLearner, TokenLearnerConfig  # noqa: E402
from composir.train.losses import contrastive_loss, overlap, slot_cosine  # noqa: E402

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
        {"softmax": "positions"},
        {"kind": "attention"},
        {"kind": "attention", "softmax": "positions"},
        {"kind": "mlp"},
        {"refinement_blocks": 0},
        {"kind": "attention", "refinement_blocks": 2, "norm": "batch", "activation": "relu"},
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


@pytest.mark.parametrize("kind", ["slots", "attention"])
def test_a_token_looks_at_what_stands_out(kind: str) -> None:
    made = learner(num_tokens=1, kind=kind, softmax="positions")
    features = torch.zeros(1, 12, 3, 3)
    features[0, :, 1, 2] = 5.0
    attention = made(features)[1][0, 0]

    others = attention.flatten()[torch.arange(9) != 5]
    assert torch.allclose(others, others[0].expand(8))
    assert not torch.isclose(attention[1, 2], others[0])


def test_the_perceptron_looks_everywhere_alike() -> None:
    attention = learner(kind="mlp")(torch.randn(1, 12, 2, 2))[1]

    assert torch.allclose(attention, torch.full_like(attention, 0.25))


def test_places_choose_among_slots() -> None:
    """Before anything is learned: every token has its own places, and they add up to the map."""
    features = torch.randn(3, 12, 4, 4, generator=torch.Generator().manual_seed(0))
    chosen = learner(num_tokens=4)(features)[1].flatten(2)
    shared = learner(num_tokens=4, kind="attention", softmax="positions")(features)[1].flatten(2)

    assert float(overlap(chosen).detach()) < 0.75 * float(overlap(shared).detach())


def test_a_token_has_an_identity_where_a_picture_has_none() -> None:
    blank = torch.ones(1, 12, 3, 3)
    slots, copies = (learner(kind=kind)(blank)[0][0] for kind in ("slots", "attention"))

    assert float((slots[0] - slots[1]).detach().abs().max()) > 0.01
    assert torch.allclose(copies[0], copies[1], atol=1e-5)


def two_parts(weights: tuple[float, float], **changes: object) -> tuple[float, float]:
    """Pictures whose halves show different things, and vectors that say both: what tokens become.

    Trained as ISA is, in little: what is read from the words is contrasted with the vectors.
    Returns the overlap of maps and the slot cosine.
    """
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(32, 6, generator=draw) for _ in range(2))
    features = torch.zeros(32, 12, 2, 4)
    features[:, :6, :, :2] = left[:, :, None, None]
    features[:, 6:, :, 2:] = right[:, :, None, None]
    goals = functional.normalize(torch.cat([left, right], dim=1), dim=1)
    made = learner(num_tokens=2, dropout=0.0, **changes)
    read = torch.nn.Linear(24, 12)
    adam = torch.optim.Adam([*made.parameters(), *read.parameters()], lr=0.02)
    for _ in range(80):
        tokens, maps = made(features)
        vectors = functional.normalize(read(tokens.sum(1) - 2 * WORDS.mean) / 0.05, dim=1)
        loss = contrastive_loss(vectors, goals, 0.1) + weights[0] * overlap(maps.flatten(2))
        loss = loss + weights[1] * slot_cosine(tokens).square()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    with torch.no_grad():
        tokens, maps = made(features)
        return float(overlap(maps.flatten(2))), float(slot_cosine(tokens))


def test_slots_learn_the_two_parts_of_a_picture() -> None:
    old = two_parts((0.0, 0.0), kind="attention", softmax="positions")
    places = two_parts((1.0, 0.0))
    words = two_parts((0.0, 1.0))

    assert places[0] < old[0] - 0.2
    assert places[1] < old[1] - 0.2
    assert abs(words[1]) < 0.2


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
