"""The mapper: it starts plain, gives words, attends, and is robust only in training."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import TrainingError  # noqa: E402
from composir.train.frozen import WordStatistics  # noqa: E402
from composir.train.losses import relative_entropy  # noqa: E402
from composir.train.mapping.mapper import Injection, Mapper, MapperConfig  # noqa: E402

pytestmark = pytest.mark.torch
D, WORD, PATCH = 8, 12, 10
STATISTICS = WordStatistics(torch.linspace(-1, 1, WORD), torch.linspace(0.5, 2, WORD), 4.0)
SMALL = MapperConfig(width=16, injection_heads=2, injection_width=6)


def first_injection(mapper: Mapper) -> Injection:
    injection = mapper.injections[0]
    assert isinstance(injection, Injection)
    return injection


def make(**changes: Any) -> Mapper:
    torch.manual_seed(0)
    config = SMALL.changed(**changes)
    return Mapper(D, STATISTICS, PATCH if config.injection_layers else None, config)


def inputs(count: int = 5, patches: int = 9) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(count, D, generator=generator), dim=-1)
    return vectors, torch.randn(count, patches, PATCH, generator=generator)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_injection_starts_as_the_plain_mapper_exactly(layers: int) -> None:
    injected, plain = make(injection_layers=layers).eval(), make(injection_layers=0).eval()
    plain.mlp.load_state_dict(injected.mlp.state_dict())
    vectors, patches = inputs()

    assert torch.equal(injected(vectors, patches)[0], plain(vectors)[0])
    with torch.no_grad():
        torch.nn.init.normal_(first_injection(injected).output.weight)
    assert not torch.allclose(injected(vectors, patches)[0], plain(vectors)[0])


def test_injection_learns_from_the_first_step_and_soon_selects() -> None:
    """Words shall say what one patch of nine shows, which the vector does not."""
    mapper = make(dropout=0.0, patch_dropout=0.0).train()
    vectors, patches = inputs(64)
    patches[:, :, 0] = -3.0
    shown = torch.arange(64) % 9
    patches[range(64), shown, 0] = 3.0
    asked = patches[range(64), shown, 1:6]
    read = torch.nn.Linear(WORD, 5)
    adam = torch.optim.Adam([*mapper.parameters(), *read.parameters()], lr=0.02)
    first_words, first = mapper(vectors, patches)
    (first_words * torch.randn_like(first_words)).sum().backward()
    grad = first_injection(mapper).output.weight.grad
    assert grad is not None
    assert bool(grad.abs().sum() > 0)

    for _ in range(120):
        adam.zero_grad()
        words, attention = mapper(vectors, patches)
        torch.nn.functional.mse_loss(read(words[:, 0]), asked).backward()
        adam.step()
    there = attention[range(64), 0, shown].mean()
    assert float(there.detach()) > 2 * float(first[range(64), 0, shown].mean().detach())
    assert float(relative_entropy(attention).detach()) < float(relative_entropy(first).detach())


def test_folded_projections_equal_attention_with_keys_and_values() -> None:
    torch.manual_seed(2)
    layer = Injection(WORD, PATCH, SMALL.changed(patch_dropout=0.0, tokens=2)).eval()
    words, patches = torch.randn(3, 2, WORD), torch.randn(3, 9, PATCH)
    with torch.no_grad():
        torch.nn.init.normal_(layer.output.weight)
        query = layer.query(layer.norm(words)).unflatten(-1, (2, 3)).transpose(1, 2)
        keys = torch.einsum("nmp,hcp->nhmc", patches, layer.key)
        values = torch.einsum("nmp,hpc->nhmc", patches, layer.value)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
        expected = layer.output(mixed.transpose(1, 2).flatten(-2))
        added, attention = layer(words, patches)

    assert torch.allclose(added, expected, atol=1e-5)
    assert torch.allclose(attention.sum(-1), torch.ones(3, 2), atol=1e-6)


def test_pseudo_words_have_the_statistics_of_words() -> None:
    words, _ = make(tokens=3).eval()(*inputs(4))
    standardised = (words - STATISTICS.mean) / STATISTICS.deviation

    assert words.shape == (4, 3, WORD)
    assert torch.allclose(standardised.mean(-1), torch.zeros(4, 3), atol=1e-5)
    assert torch.allclose(standardised.std(-1, correction=0), torch.ones(4, 3), atol=1e-3)


@pytest.mark.parametrize(
    "noise", [{"vector_noise": 0.5}, {"patch_dropout": 0.5}, {"token_dropout": 0.9, "tokens": 4}]
)
def test_robustness_draws_in_training_alone(noise: dict[str, Any]) -> None:
    mapper = make(**{"dropout": 0.0, "patch_dropout": 0.0, **noise})
    with torch.no_grad():
        torch.nn.init.normal_(first_injection(mapper).output.weight)
    given = inputs()

    assert not torch.equal(mapper.train()(*given)[0], mapper(*given)[0])
    assert torch.equal(mapper.eval()(*given)[0], mapper(*given)[0])


def test_token_dropout_keeps_a_word_of_every_picture() -> None:
    mapper = make(tokens=4, token_dropout=0.99).train()
    words, _ = mapper(*inputs(50))
    kept = (words != STATISTICS.mean).any(-1).sum(1)

    assert int(kept.min()) == 1
    assert float(kept.float().mean()) < 1.5


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tokens": 0}, "tokens is 0"),
        ({"injection_layers": 4}, "injection_layers is 4"),
        ({"injection_heads": 4}, "no multiple"),
        ({"dropout": 1.0}, "dropout is 1"),
    ],
)
def test_sizes_that_cannot_be_built_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        SMALL.changed(**wrong)


def test_injection_without_patch_tokens_says_what_to_set() -> None:
    with pytest.raises(TrainingError, match=r"mapper\.injection_layers=0"):
        Mapper(D, STATISTICS, None, SMALL)


def test_sharpness_says_how_much_injection_selects_at_the_start() -> None:
    given = inputs(40)
    sharp, even = (make(injection_sharpness=s).eval()(*given)[1] for s in (8.0, 0.01))

    assert float(relative_entropy(even).detach()) > 0.99
    assert float(relative_entropy(sharp).detach()) < 0.9
