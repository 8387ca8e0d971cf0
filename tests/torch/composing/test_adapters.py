"""Composing adapters: they start at the frozen tower, learn alone, and can be taken off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from onnxruntime import InferenceSession  # noqa: E402
from torch import Tensor  # noqa: E402

from composir.errors import ModelError, TrainingError  # noqa: E402
from composir.foundation.text_tower import TextTower  # noqa: E402
from composir.model.sessions import open_session  # noqa: E402
from composir.train.composer_export import export_adapted_text, export_text  # noqa: E402
from composir.train.composing.adapters import (  # noqa: E402
    AdaptedTower,
    AdapterConfig,
)
from composir.types import FloatArray  # noqa: E402
from tests.torch.towers import TEXT, text_tower  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
Kind = Literal["bottleneck", "lora"]
KINDS: tuple[Kind, ...] = ("bottleneck", "lora")
APPEARANCE = 24


def frozen_tower() -> TextTower:
    return text_tower().requires_grad_(requires_grad=False)


def tower_with_appearance() -> TextTower:
    tower = frozen_tower()
    tower.spec = replace(tower.spec, appearance=APPEARANCE)
    return tower


def sentences() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(3, 7, TEXT.width, generator=generator)
    mask = torch.ones(3, 7)
    mask[2, 4:] = 0.0
    return words, mask


def move_all(tower: AdaptedTower) -> None:
    """Give all adapters something to say."""
    with torch.no_grad():
        for name, weight in tower.trained().items():
            if ".up." in name:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    tower.train(mode=False)


def train_a_little(tower: AdaptedTower) -> None:
    words, mask = sentences()
    optimiser = torch.optim.SGD(tower.trained().values(), lr=0.3)
    tower.train()
    for _ in range(3):
        optimiser.zero_grad()
        vectors, _ = tower.adapted(words, mask)
        vectors[:, 0].sum().backward()
        optimiser.step()
    tower.train(mode=False)


def run(graph: InferenceSession, *, adapters: float) -> FloatArray:
    words, mask = (part.numpy() for part in sentences())
    asked = {"word_embeddings": words, "mask": mask}
    asked["adapters"] = np.full(len(words), adapters, dtype=np.float32)
    vectors: FloatArray = graph.run(["vector"], asked)[0]
    return vectors


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_start_exactly_at_the_frozen_tower(kind: Kind) -> None:
    frozen = frozen_tower()
    tower = AdaptedTower(frozen, AdapterConfig(kind=kind, width=4))
    tower.train(mode=False)

    for ours, theirs in zip(tower.adapted(*sentences()), frozen(*sentences()), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_taking_trained_adapters_off_gives_the_frozen_tower_back_bit_for_bit(kind: Kind) -> None:
    frozen = frozen_tower()
    before = frozen(*sentences())[0]
    weights = {name: value.clone() for name, value in frozen.state_dict().items()}
    tower = AdaptedTower(frozen, AdapterConfig(kind=kind, width=4))
    train_a_little(tower)

    assert not torch.allclose(tower.adapted(*sentences())[0], before, atol=1e-3)
    assert torch.equal(tower.frozen(*sentences())[0], before)
    assert tower.frozen.state_dict().keys() == weights.keys()
    assert all(torch.equal(tower.frozen.state_dict()[name], weights[name]) for name in weights)

    tower.reset()
    assert torch.equal(tower.adapted(*sentences())[0], before)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Two bottlenecks a block on 64 channels, matrices and biases.
        ("bottleneck", TEXT.layers * 2 * (64 * 4 + 4 + 4 * 64 + 64)),
        # 64 -> 192 (query, key, value) and 64 -> 64 (output), no biases.
        ("lora", TEXT.layers * (4 * (64 + 192) + 4 * (64 + 64))),
    ],
)
def test_only_adapters_are_trained_and_they_are_in_every_block(kind: Kind, expected: int) -> None:
    tower = AdaptedTower(frozen_tower(), AdapterConfig(kind=kind, width=4))
    vectors, _ = tower.adapted(*sentences())
    vectors.sum().backward()

    assert tower.parameter_count() == expected
    assert all(parameter.grad is not None for parameter in tower.trained().values())
    trained = {id(parameter) for parameter in tower.trained().values()}
    learning = {id(p) for p in tower.adapted.parameters() if p.requires_grad}
    assert learning == trained


@pytest.mark.parametrize("kind", KINDS)
def test_each_sentence_switches_the_adapters_for_itself(kind: Kind) -> None:
    tower = AdaptedTower(tower_with_appearance(), AdapterConfig(kind=kind, width=4, appearance=8))
    move_all(tower)
    words, mask = sentences()
    both = tower.switchable()(words, mask, torch.tensor([1.0, 0.0, 1.0]))
    on, off = tower.adapted(words, mask), tower.frozen(words, mask)

    for ours, adapted, frozen in zip(both, on, off, strict=True):
        assert torch.allclose(ours[[0, 2]], adapted[[0, 2]], atol=1e-5)
        assert torch.allclose(ours[1], frozen[1], atol=1e-5)
        assert (adapted[1] - frozen[1]).abs().max() > 1e-2
    # The switch is of that one call: whoever trains goes on with all adapters on.
    assert torch.equal(tower.adapted(words, mask)[0], on[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_graph_computes_what_the_adapted_tower_computes(
    kind: Kind, tmp_path: Path
) -> None:
    tower = AdaptedTower(frozen_tower(), AdapterConfig(kind=kind, width=4))
    train_a_little(tower)
    export_adapted_text(tower.switchable(), tmp_path / "text.onnx")
    graph = open_session(tmp_path / "text.onnx")
    ours = run(graph, adapters=1.0)
    words, mask = sentences()
    adapted = tower.adapted(words, mask)[0].detach().numpy()
    frozen = tower.frozen(words, mask)[0].numpy()

    assert float((ours * adapted).sum(1).min()) > 0.999
    assert np.abs(ours - frozen).max() > 1e-3
    assert float((run(graph, adapters=0.0) * frozen).sum(1).min()) > 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off_the_exported_graph_computes_what_the_models_own_computes(
    kind: Kind, tmp_path: Path
) -> None:
    tower = AdaptedTower(tower_with_appearance(), AdapterConfig(kind=kind, width=4, appearance=8))
    move_all(tower)
    export_text(tower.frozen, TEXT.width, tmp_path / "own.onnx", quantise=True)
    export_adapted_text(tower.switchable(), tmp_path / "text.onnx", tmp_path / "own.onnx")
    words, mask = sentences()
    own = open_session(tmp_path / "own.onnx")
    expected = own.run(["vector"], {"word_embeddings": words.numpy(), "mask": mask.numpy()})[0]
    off = run(open_session(tmp_path / "text.onnx", tensors=tmp_path), adapters=0.0)

    np.testing.assert_allclose(off, expected, atol=1e-6)
    assert not off[:, -APPEARANCE:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_models_own_graph_holds_is_borrowed_from_it(kind: Kind, tmp_path: Path) -> None:
    tower = AdaptedTower(frozen_tower(), AdapterConfig(kind=kind, width=4))
    train_a_little(tower)
    holder, whole, slim = (tmp_path / f"{name}.onnx" for name in ("text", "whole", "slim"))
    export_text(tower.frozen, TEXT.width, holder, quantise=True)
    export_adapted_text(tower.switchable(), whole)
    export_adapted_text(tower.switchable(), slim, holder)
    graphs = open_session(whole), open_session(slim, tensors=tmp_path)
    vectors = [run(graph, adapters=1.0) for graph in graphs]

    assert slim.stat().st_size < 0.6 * whole.stat().st_size
    np.testing.assert_array_equal(vectors[0], vectors[1])
    with pytest.raises(ModelError, match=r"slim\.onnx cannot be run .*text\.onnx"):
        open_session(slim, tensors=tmp_path / "elsewhere")


def test_words_start_to_say_nothing_of_appearance_and_learn_to() -> None:
    frozen = tower_with_appearance()
    tower = AdaptedTower(frozen, AdapterConfig(width=4, appearance=8))
    tower.train(mode=False)
    before = frozen(*sentences())[0]
    assert torch.equal(tower.adapted(*sentences())[0], before)
    assert not before[:, -APPEARANCE:].any()

    optimiser = torch.optim.SGD(tower.trained().values(), lr=0.3)
    for _ in range(3):
        optimiser.zero_grad()
        (-tower.adapted(*sentences())[0][:, -1]).sum().backward()
        optimiser.step()
    after = tower.adapted(*sentences())[0]
    assert (after[:, -1] > 0.05).all()
    assert torch.allclose(after.norm(dim=1), torch.ones(3), atol=1e-6)

    tower.reset()
    assert torch.equal(tower.adapted(*sentences())[0], before)
    assert torch.equal(frozen(*sentences())[0], before)


def test_the_adapter_of_appearance_is_trained_with_the_others_unless_its_width_is_zero() -> None:
    without = AdaptedTower(tower_with_appearance(), AdapterConfig(width=4, appearance=0))
    having = AdaptedTower(tower_with_appearance(), AdapterConfig(width=4, appearance=8))
    no_part = AdaptedTower(frozen_tower(), AdapterConfig(width=4, appearance=8))

    added = TEXT.width * 8 + 8 + 8 * APPEARANCE + APPEARANCE
    assert having.parameter_count() - without.parameter_count() == added
    assert no_part.parameter_count() == without.parameter_count()


def test_the_exported_graph_has_the_appearance_that_was_learnt(tmp_path: Path) -> None:
    tower = AdaptedTower(tower_with_appearance(), AdapterConfig(width=4, appearance=8))
    move_all(tower)
    export_adapted_text(tower.switchable(), tmp_path / "text.onnx")
    ours = run(open_session(tmp_path / "text.onnx"), adapters=1.0)
    theirs = tower.adapted(*sentences())[0].detach().numpy()

    assert ours.shape == (3, theirs.shape[1])
    assert np.linalg.norm(ours[:, -APPEARANCE:], axis=1).min() > 0.1
    assert float((ours * theirs).sum(1).min()) > 0.999


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "prefix"}, {"width": 0}, {"dropout": 1.0}, {"appearance": -1}],
    ids=["kind", "width", "dropout", "appearance"],
)
def test_adapters_that_cannot_be_built_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match=f"setting {next(iter(wrong))}"):
        AdapterConfig().changed(**wrong)
