"""The mapper: it starts plain, gives words, attends, and is robust only in training."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import TrainingError  # noqa: E402
from composir.train.mapping.mapper import Injection, Mapper, MapperConfig  # noqa: E402
from composir.train.word_statistics import WordStatistics  # noqa: E402

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
        first_injection(injected).gate.fill_(1.0)
    assert not torch.allclose(injected(vectors, patches)[0], plain(vectors)[0])


def test_the_gate_learns_from_the_first_step() -> None:
    mapper = make(dropout=0.0)
    words, _ = mapper(*inputs())
    (words * torch.randn_like(words)).sum().backward()

    grad = first_injection(mapper).gate.grad
    assert grad is not None
    assert grad.abs() > 0


def test_folded_projections_equal_attention_with_keys_and_values() -> None:
    torch.manual_seed(2)
    layer = Injection(WORD, PATCH, SMALL.changed(patch_dropout=0.0, tokens=2)).eval()
    words, patches = torch.randn(3, 2, WORD), torch.randn(3, 9, PATCH)
    with torch.no_grad():
        layer.gate.fill_(0.5)
        query = layer.query(layer.norm(words)).unflatten(-1, (2, 3)).transpose(1, 2)
        keys = torch.einsum("nmp,hcp->nhmc", patches, layer.key)
        values = torch.einsum("nmp,hpc->nhmc", patches, layer.value)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
        expected = 0.5 * layer.output(mixed.transpose(1, 2).flatten(-2))
        added, attention = layer(words, patches)

    assert torch.allclose(added, expected, atol=1e-6)
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
        first_injection(mapper).gate.fill_(1.0)
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
