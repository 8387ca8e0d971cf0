"""Tiny text towers that pool where other families do, and bundles made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from composir.model import Model, load_model
from composir.model.bundle import MANIFEST_NAME, save_manifest
from composir.train.foundation.export import TEXT_GRAPH, export_text
from composir.train.foundation.text_tower import MASKED, Block, TextSpec, attention_bias
from tests import tiny_bundle
from tests.torch.towers import DIMENSION, TEXT

TOWER = "tower.pt"
# The tokens of `towers.WORDS`: [PAD], [UNK], [CLS], [SEP].
_IDS = {
    "clip": {"opening": [2], "closing": [3], "pad": 3},
    "siglip": {"closing": [3], "pad": 0},
    "bert": {"opening": [2], "closing": [3], "pad": 0},
}
FAMILIES = {name: tiny_bundle.FAMILIES[name] | ids for name, ids in _IDS.items()}


class PlacedTower(nn.Module):
    """Pools at the place it is told, and may see only what stands before; holds no words."""

    def __init__(self, spec: TextSpec, *, causal: bool) -> None:
        super().__init__()
        self.spec, self.causal = spec, causal
        self.positions = nn.Parameter(torch.randn(spec.positions, spec.width) * 0.1)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.projection = nn.Linear(spec.width, DIMENSION)

    def forward(self, words: Tensor, mask: Tensor, eot: Tensor) -> tuple[Tensor, Tensor]:
        states, bias = words + self.positions[: words.shape[1]], attention_bias(mask)
        if self.causal:
            places = torch.arange(words.shape[1], device=words.device)
            bias = bias + (places[None, :] > places[:, None]).float() * MASKED
        for block in self.blocks:
            states = block(states, bias)
        place = eot[:, None, None].expand(-1, 1, states.shape[2])
        pooled = states.gather(1, place).squeeze(1)
        return nn.functional.normalize(self.projection(pooled), dim=-1), states


def load_text_tower(path: Path, spec: Mapping[str, Any]) -> nn.Module:
    """Plays `composir.foundation.text_tower.load_text_tower`."""
    tower = PlacedTower(TEXT, causal=spec["causal"])
    tower.load_state_dict(torch.load(path, weights_only=True))
    return tower.eval()


def make_family_bundle(folder: Path, family: str, plain: Path) -> Model:
    """Write a bundle named `tiny` with a random text tower of a family's kind.

    Args:
        folder: Does not exist yet.
        family: One of `FAMILIES`.
        plain: From `towers.make_bundle`: the image side, the words and the tokeniser.
    """
    shutil.copytree(plain, folder)
    framing = FAMILIES[family]
    torch.manual_seed(5)
    tower = PlacedTower(TEXT, causal=framing.get("causal", False)).eval()
    torch.save(tower.state_dict(), folder / TOWER)
    places = {"eot": torch.tensor([8, 5])}
    export_text(tower, TEXT.width, folder / TEXT_GRAPH, quantise=False, **places)
    fields = cast(dict[str, Any], json.loads((folder / MANIFEST_NAME).read_text()))
    del fields["files"], fields["schema_version"]
    fields["text"] |= {"framing": framing, "tower": TOWER, "spec": {"causal": tower.causal}}
    (folder / MANIFEST_NAME).unlink()
    save_manifest(folder, fields)
    return load_model(folder)
