"""Tiny text towers that pool where other families do, and bundles made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import torch

from composir.foundation.export import TEXT_GRAPH, TEXT_TOWER
from composir.foundation.text_tower import TextTower, TextTowerSpec
from composir.foundation.weights import save_weights
from composir.model import Model, load_model
from composir.model.bundle import MANIFEST_NAME, save_manifest
from composir.train.composer_export import export_text
from tests import tiny_bundle
from tests.torch.towers import DIMENSION, TEXT

# The tokens of `towers.WORDS`: [PAD], [UNK], [CLS], [SEP].
_IDS = {
    "clip": {"opening": [2], "closing": [3], "pad": 3},
    "siglip": {"closing": [3], "pad": 0},
    "bert": {"opening": [2], "closing": [3], "pad": 0},
}
FAMILIES = {name: tiny_bundle.FAMILIES[name] | ids for name, ids in _IDS.items()}
# Where each family's tower differs from CLIP's.
_SPECS: dict[str, dict[str, Any]] = {
    "clip": {},
    "siglip": {"pooling": "last", "causal": False, "activation": "gelu_pytorch_tanh"},
    "bert": {"pooling": "cls", "causal": False, "activation": "gelu", "norm_after": True},
}


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
    tower = TextTower(_spec(family)).eval()
    with torch.no_grad():  # fresh weights hardly tell sentences apart
        tower.positions.normal_(std=0.1)
    save_weights(tower, folder / TEXT_TOWER)
    places = {"eot": torch.tensor([8, 5])}
    export_text(tower, TEXT.width, folder / TEXT_GRAPH, quantise=False, **places)
    fields = cast(dict[str, Any], json.loads((folder / MANIFEST_NAME).read_text()))
    del fields["files"], fields["schema_version"]
    fields["text"] |= {"framing": framing, "tower": TEXT_TOWER, "spec": tower.spec.to_fields()}
    (folder / MANIFEST_NAME).unlink()
    save_manifest(folder, fields)
    return load_model(folder)


def _spec(family: str) -> TextTowerSpec:
    sizes = {name: getattr(TEXT, name) for name in ("positions", "width", "layers", "heads")}
    return TextTowerSpec(dimension=DIMENSION, inner=TEXT.inner, **sizes, **_SPECS[family])
