"""The torch text tower: what its spec says is what it does, and it comes back from a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")

import torch

from composir.errors import ModelError
from composir.foundation.text_tower import (
    TextTower,
    TextTowerSpec,
    load_text_tower,
)
from composir.foundation.weights import save_weights

pytestmark = pytest.mark.torch

SIZES: dict[str, Any] = {
    "dimension": 6,
    "positions": 12,
    "width": 16,
    "layers": 2,
    "heads": 4,
    "inner": 24,
}


def tower(**fields: Any) -> TextTower:
    torch.manual_seed(0)
    return TextTower(TextTowerSpec(**{**SIZES, **fields})).eval()


def sentence(length: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    words = torch.randn(1, length, 16, generator=torch.Generator().manual_seed(1))
    return words, torch.ones(1, length)


@pytest.mark.parametrize("causal", [True, False])
def test_a_causal_tower_does_not_look_ahead(causal: bool) -> None:
    words, mask = sentence()
    other = words.clone()
    other[:, 5:] *= -1.0  # a constant would not show: norms take it out
    with torch.no_grad():
        first, second = (tower(causal=causal).states(w, mask)[:, :5] for w in (words, other))
    assert torch.allclose(first, second, atol=1e-5) == causal


@pytest.mark.parametrize("norm_after", [True, False])
@pytest.mark.parametrize("pooling", ["eot", "cls", "mean"])
def test_padding_changes_nothing(pooling: Any, norm_after: bool) -> None:
    words, mask = sentence()
    place = torch.tensor([0 if pooling == "cls" else 5])
    mask[:, 6:] = 0.0
    made = tower(pooling=pooling, causal=pooling == "eot", norm_after=norm_after)
    with torch.no_grad():
        padded, _ = made(words, mask, place)
        bare, _ = made(words[:, :6], mask[:, :6], place)
    assert torch.allclose(padded, bare, atol=1e-5)
    assert padded.norm().item() == pytest.approx(1.0)


def test_the_place_says_which_state_becomes_the_vector() -> None:
    words, mask = sentence()
    made = tower(projection=False, dimension=16)
    with torch.no_grad():
        vector, states = made(words, mask, torch.tensor([3]))
    expected = torch.nn.functional.normalize(states[:, 3], dim=-1)
    assert torch.allclose(vector, expected, atol=1e-6)


def test_norms_stand_after_each_sum_or_before_each_part() -> None:
    words, mask = sentence()
    with torch.no_grad():
        after, before = (tower(norm_after=where).states(words, mask) for where in (True, False))
    assert torch.allclose(after.mean(-1), torch.zeros(()), atol=1e-5)
    assert torch.allclose(before.mean(-1), torch.zeros(()), atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-2)


def test_a_correction_starts_at_zero_and_an_appearance_of_texts_is_zeros() -> None:
    words, mask = sentence()
    made = tower(pooling="mean", correction=32, appearance=3)
    assert made.correction is not None
    last = made.correction[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        vector, states = made(words, mask)
        plain = made.projection(states.mean(1))
        last.weight.normal_()
        corrected, _ = made(words, mask)

    assert vector.shape == (1, 9)
    assert vector[0, 6:].tolist() == [0.0, 0.0, 0.0]
    assert vector.norm().item() == pytest.approx(1.0)
    expected = torch.nn.functional.normalize(plain + last.bias, dim=-1)
    assert torch.allclose(vector[:, :6], expected, atol=1e-6)
    assert not torch.allclose(corrected, vector, atol=1e-3)


def test_an_appearance_beside_the_words_keeps_unit_norm() -> None:
    words, mask = sentence()
    made = tower(pooling="mean", appearance=3)
    with torch.no_grad():
        alone = made(words, mask)[0]
        made.appearance = torch.nn.Linear(16, 3)
        both = made(words, mask)[0]

    assert both.norm().item() == pytest.approx(1.0)
    assert both[0, 6:].abs().max() > 1e-3
    turned = torch.nn.functional.normalize(both[:, :6], dim=-1)
    assert torch.allclose(turned, alone[:, :6], atol=1e-6)


def test_a_tower_comes_back_from_its_file_and_fields(tmp_path: Path) -> None:
    made = tower(causal=False, pooling="last", projection_bias=True, activation="gelu")
    save_weights(made, tmp_path / "tower.safetensors")
    back = load_text_tower(tmp_path / "tower.safetensors", made.spec.to_fields())
    words, mask = sentence()
    with torch.no_grad():
        vectors = [one(words, mask, torch.tensor([7]))[0] for one in (made, back)]
    assert torch.equal(*vectors)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**SIZES, "layers": 3}, "does not hold the text tower's weights"),
        ({**SIZES, "colour": "red"}, "unknown fields: colour"),
        ({"width": 16}, "incomplete"),
        ({**SIZES, "activation": "swish"}, "no activation function named 'swish'"),
    ],
)
def test_fields_that_do_not_fit_are_refused(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    save_weights(tower(), tmp_path / "tower.safetensors")
    with pytest.raises(ModelError, match=message):
        load_text_tower(tmp_path / "tower.safetensors", fields)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tower.safetensors"
    save_weights(tower(), path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ModelError, match="does not hold"):
        load_text_tower(path, SIZES)
