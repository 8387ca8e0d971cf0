"""BLIP's matching encoder: the library's own answers, through the towers of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")

import torch

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint
from composir.foundation.families import blip
from composir.foundation.image_tower import ImageTower, normalised
from composir.foundation.parts import Parts
from composir.foundation.text_tower import MatchingEncoder, load_matching_encoder
from composir.foundation.transformers_code import quiet
from composir.foundation.weights import save_weights
from tests.foundation.checkpoints import write_blip

pytestmark = pytest.mark.torch

IDS = torch.tensor([[2, 40, 50, 60, 3, 0], [2, 41, 3, 0, 0, 0], [2, 7, 8, 9, 10, 3]])
MASK = (IDS > 0).float()


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[Parts, Any]:
    """The parts, and the library's model."""
    with quiet():
        checkpoint = Checkpoint(write_blip(tmp_path_factory.mktemp("blip")))
        return blip.read(checkpoint), blip.reference(checkpoint).model


def matcher(parts: Parts) -> MatchingEncoder:
    assert parts.matching is not None
    return parts.matching


def test_it_matches_as_the_library_does(read: tuple[Parts, Any]) -> None:
    parts, theirs = read
    assert isinstance(parts.image, ImageTower)
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        seen = parts.image.states(pixels)
        ours = matcher(parts)(parts.words[IDS], MASK, seen)
        shown = normalised(pixels, parts.image.mean, parts.image.std)
        scores = theirs(input_ids=IDS, pixel_values=shown, attention_mask=MASK).itm_score

    assert (ours - (scores[:, 1] - scores[:, 0])).abs().max() < 1e-5
    assert ours.std() > 1e-3  # it tells them apart


def test_word_embeddings_stay_what_they_were_and_take_gradients(read: tuple[Parts, Any]) -> None:
    parts, _ = read
    words = parts.words[IDS].requires_grad_()
    before, patches = words.detach().clone(), torch.randn(3, 16, 24)
    matcher(parts)(words, MASK, patches).sum().backward()

    assert torch.equal(words.detach(), before)
    assert words.grad is not None
    assert words.grad[MASK > 0].abs().sum(dim=1).min() > 0


def test_padding_changes_nothing(read: tuple[Parts, Any]) -> None:
    parts, _ = read
    patches = torch.randn(1, 16, 24)
    with torch.no_grad():
        padded = matcher(parts)(parts.words[IDS[1:2]], MASK[1:2], patches)
        bare = matcher(parts)(parts.words[IDS[1:2, :3]], MASK[1:2, :3], patches)
    assert torch.allclose(padded, bare, atol=1e-5)


def test_it_comes_back_from_its_file(read: tuple[Parts, Any], tmp_path: Path) -> None:
    parts, _ = read
    path = tmp_path / "matching.safetensors"
    save_weights(matcher(parts), path)
    patches = torch.randn(3, 16, 24)
    with torch.no_grad():
        back = load_matching_encoder(path, parts.text)(parts.words[IDS], MASK, patches)
        assert torch.equal(back, matcher(parts)(parts.words[IDS], MASK, patches))
    from safetensors.torch import load_file

    assert not [name for name in load_file(path) if "blocks" in name]  # the text tower's, once

    save_weights(parts.text, path)
    with pytest.raises(ModelError, match="does not hold the weights of a matching encoder"):
        load_matching_encoder(path, parts.text)
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="does not hold the weights of a matching encoder"):
        load_matching_encoder(path, parts.text)


def test_a_blip_that_compares_nothing_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with quiet():
        folder = write_blip(tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["vision_proj.weight"]
    save_file(state, folder / "model.safetensors")
    with quiet(), pytest.raises(ModelError, match="without projections for retrieval"):
        blip.read(Checkpoint(folder))
