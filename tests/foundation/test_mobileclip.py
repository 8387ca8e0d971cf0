"""MobileCLIP2: what open_clip and timm computed, with neither of them here.

`mobileclip.json` holds, for both forms of a tiny FastViT, the names and shapes of open_clip's
weights and the vectors that open_clip 3.3 and timm 1.0.31 gave with the weights of `formula`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")

import torch

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint
from composir.foundation.families import open_clip
from composir.foundation.fastvit import FASTVITS, FastVit
from composir.model.framing import Framing
from tests.foundation.checkpoints import MOBILECLIP, write_mobileclip
from tests.foundation.formula import picture

pytestmark = pytest.mark.torch

GOLDEN: dict[str, Any] = json.loads(MOBILECLIP.read_text())
FORMS = ("training", "fused")


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_give_what_timm_and_open_clip_gave(form: str, tmp_path: Path) -> None:
    parts = open_clip.read(Checkpoint(write_mobileclip(tmp_path, form=form)))
    wanted = GOLDEN[form]
    with torch.no_grad():
        vectors, patches = parts.image(torch.from_numpy(picture(64, 2)))
        ids = torch.tensor(GOLDEN["text_ids"])
        texts, _ = parts.text(parts.words[ids], torch.ones(ids.shape), ids.argmax(dim=1))

    assert np.abs(vectors.numpy() - wanted["pictures"]).max() < 1e-5
    assert patches.shape == (2, 4, 64)
    largest = float(patches.abs().max())
    assert np.abs(patches[0, -1].numpy() - wanted["patch"]).max() < 1e-5 * largest
    assert np.abs(texts.numpy() - wanted["texts"]).max() < 1e-5


def test_its_texts_are_padded_with_real_tokens_and_read_both_ways(tmp_path: Path) -> None:
    parts = open_clip.read(Checkpoint(write_mobileclip(tmp_path)))
    framing = Framing(**parts.framing)
    assert (framing.length, framing.pad, framing.pooling, framing.causal) == (20, 0, "eot", False)
    assert not parts.text.spec.causal
    assert (parts.preprocess.exact, parts.preprocess.mean) == ("open_clip", (0.0, 0.0, 0.0))
    assert parts.licence == "apple-amlr"


def test_a_weight_less_is_named_by_its_own_name(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_mobileclip(tmp_path)
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    for name in ("visual.trunk.stages.3.blocks.0.mlp.conv.conv.weight", "visual.trunk.stem.0."):
        left = {key: value for key, value in state.items() if not key.startswith(name)}
        save_file(left, weights)
        with pytest.raises(ModelError, match=f"incomplete: {name}"):
            open_clip.read(Checkpoint(folder))


def test_another_pooling_is_refused(tmp_path: Path) -> None:
    folder = write_mobileclip(tmp_path)
    path = folder / "open_clip_config.json"
    path.write_text(path.read_text().replace('"timm_pool": "avg"', '"timm_pool": "map"'))
    with pytest.raises(ModelError, match="timm_pool and timm_proj are"):
        open_clip.read(Checkpoint(folder))


def test_the_published_sizes_are_as_wide_as_published() -> None:
    with torch.device("meta"):
        towers = {
            name: FastVit(spec, 512, (0.0,) * 3, (1.0,) * 3) for name, spec in FASTVITS.items()
        }
    millions = {
        name: round(sum(tensor.numel() for tensor in tower.parameters()) / 1e6, 1)
        for name, tower in towers.items()
    }
    # timm counts 11.4 and 35.8 of the form for training, whose branches weigh a little more.
    assert (millions["fastvit_mci0"], millions["fastvit_mci2"]) == (11.3, 35.7)
