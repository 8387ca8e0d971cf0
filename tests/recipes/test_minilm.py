"""The text tower: padding, and BERT's published arithmetic."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from minilm import NEW, translate_bert  # noqa: E402
from torch import Tensor  # noqa: E402

from composir.foundation.text_tower import TextTower, mean_pool  # noqa: E402
from tests.torch.towers import TEXT, text_tower  # noqa: E402

pytestmark = pytest.mark.torch


def test_padding_does_not_change_a_vector() -> None:
    tower = text_tower()
    words = torch.randn(1, 5, TEXT.width)
    padded = torch.cat([words, torch.full((1, 4, TEXT.width), 9.0)], dim=1)
    mask = torch.tensor([[1.0] * 5 + [0.0] * 4])
    with torch.inference_mode():
        alone, alone_states = tower(words, torch.ones(1, 5))
        among, among_states = tower(padded, mask)

    assert torch.allclose(alone, among, atol=1e-5)
    assert torch.allclose(alone_states, among_states[:, :5], atol=1e-4)


def test_vectors_have_unit_norm_and_depend_on_the_order_of_words() -> None:
    tower = text_tower()
    torch.nn.init.normal_(tower.positions)
    words = torch.randn(1, 6, TEXT.width)
    with torch.inference_mode():
        forward, _ = tower(words, torch.ones(1, 6))
        backward, _ = tower(words.flip(1), torch.ones(1, 6))

    assert float(forward.norm()) == pytest.approx(1.0, abs=1e-5)
    assert not torch.allclose(forward, backward, atol=1e-3)


def test_mean_pool_leaves_padding_out() -> None:
    states = torch.tensor([[[1.0], [3.0], [100.0]]])

    assert mean_pool(states, torch.tensor([[1.0, 1.0, 0.0]])).tolist() == [[2.0]]


def test_translated_weights_compute_what_bert_computes() -> None:
    state = _random_bert()
    tower = TextTower(TEXT).eval()
    missing, unexpected = tower.load_state_dict(translate_bert(state, TEXT.layers), strict=False)
    words = state["embeddings.word_embeddings.weight"]
    ids = torch.tensor([2, 4, 5, 7, 3])
    with torch.inference_mode():
        ours = tower.states(words[ids][None], torch.ones(1, 5))[0]

    assert not unexpected
    assert all(name.startswith(NEW) for name in missing)
    assert torch.allclose(ours, _bert(state, ids), atol=1e-4)


def _random_bert() -> dict[str, Tensor]:
    torch.manual_seed(5)
    width, inner = TEXT.width, TEXT.inner
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (11, width),
        "embeddings.position_embeddings.weight": (TEXT.positions, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for layer in range(TEXT.layers):
        name = f"encoder.layer.{layer}"
        linear = {
            f"{name}.attention.self.query": (width, width),
            f"{name}.attention.self.key": (width, width),
            f"{name}.attention.self.value": (width, width),
            f"{name}.attention.output.dense": (width, width),
            f"{name}.intermediate.dense": (inner, width),
            f"{name}.output.dense": (width, inner),
        }
        shapes |= {f"{key}.weight": shape for key, shape in linear.items()}
        shapes |= {f"{key}.bias": shape[:1] for key, shape in linear.items()}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{name}.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
    return {key: torch.randn(shape) * 0.2 for key, shape in shapes.items()}


def _bert(state: dict[str, Tensor], ids: Tensor) -> Tensor:
    """One sentence, head by head, as Devlin et al. (2019) describe it."""

    def linear(inputs: Tensor, name: str) -> Tensor:
        return inputs @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(inputs: Tensor, name: str) -> Tensor:
        centred = inputs - inputs.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-12)
        result: Tensor = scaled * state[f"{name}.weight"] + state[f"{name}.bias"]
        return result

    hidden = state["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + state["embeddings.position_embeddings.weight"][: len(ids)]
    hidden = hidden + state["embeddings.token_type_embeddings.weight"][0]
    hidden = norm(hidden, "embeddings.LayerNorm")
    size = TEXT.width // TEXT.heads
    for layer in range(TEXT.layers):
        name = f"encoder.layer.{layer}"
        projected = [
            linear(hidden, f"{name}.attention.self.{p}") for p in ("query", "key", "value")
        ]
        heads = []
        for head in range(TEXT.heads):
            query, key, value = (p[:, head * size : (head + 1) * size] for p in projected)
            heads.append(torch.softmax(query @ key.T / math.sqrt(size), dim=-1) @ value)
        mixed = linear(torch.cat(heads, dim=-1), f"{name}.attention.output.dense")
        hidden = norm(hidden + mixed, f"{name}.attention.output.LayerNorm")
        inner = linear(hidden, f"{name}.intermediate.dense")
        activated = inner * 0.5 * (1.0 + torch.erf(inner / math.sqrt(2.0)))
        hidden = norm(
            hidden + linear(activated, f"{name}.output.dense"), f"{name}.output.LayerNorm"
        )
    return hidden
