"""Training on a bundle that was made of a checkpoint, through the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")
pytest.importorskip("onnxscript", reason="needs the foundation extra")

import onnx
import torch

from composir.compose import QueryBatch, open_trained
from composir.foundation.export import MIN_BYTES
from composir.foundation.quantise import quantised_graphs
from composir.model import load_model
from composir.model.bundle import save_manifest
from composir.train.composer_export import export_adapted_text
from composir.train.composing.adapters import AdaptedTower, AdapterConfig
from composir.train.frozen import FrozenFoundation
from composir.train.graph_weights import arithmetic_of
from composir.train.isa import task
from tests.e2e.commands import composir, paint
from tests.foundation.imported import Imported

TEXTS = ["a cat", "The RED square, of 3 circles!"]
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
SETTINGS = {
    "side": "symmetric",
    "loop.steps": 2,
    "loop.warmup": 1,
    "loop.evaluate_every": 2,
    "objective.batch": 4,
    "objective.gcd.queue": 4,
    "token_learner.num_tokens": 2,
    "token_learner.width": 16,
    "token_learner.attention_width": 8,
    "token_learner.heads": 4,
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the losses that align locally, as they are taken."""
    seen: list[str] = []
    for name in ("matching_loss", "alignment_loss"):
        whole = getattr(task, name)

        def noted(*words: object, _name: str = name, _whole: object = whole) -> object:
            seen.append(_name)
            return _whole(*words)  # type: ignore[operator]

        monkeypatch.setattr(task, name, noted)
    return seen


def train(imported: Imported, folder: Path, *more: str) -> str:
    """`composir train isa`; what it said."""
    for number in range(6):
        paint(folder / "photos" / f"{number}.png", "red", (20 + 9 * number, 30))
    model = imported.model.bundle.folder
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    chosen = [word for one in (*settings, *more) for word in ("--set", one)]
    place: list[str | Path] = ["--out", folder / "run", "--set", f"cache={folder / 'cache'}"]
    photos: list[str | Path] = ["--images", folder / "photos"]
    done = composir("train", "isa", "--model", model, *photos, *place, *chosen)
    assert done.exit_code == 0, done.output
    return done.output


def test_isa_takes_the_matching_encoder_where_the_bundle_has_one(
    imported: Imported, tmp_path: Path, taken: list[str]
) -> None:
    has_one = imported.manifest.family == "blip"
    said = train(imported, tmp_path)

    assert set(taken) == {"matching_loss" if has_one else "alignment_loss"}
    assert ("own matching encoder" in said) == has_one
    made = tmp_path / "run" / "composer"
    wanted = "matching encoder" if has_one else "late interaction"
    assert json.loads((made / "composer.json").read_text())["training"]["alignment"] == wanted
    assert f"sentences and pictures: {wanted}." in (made / "README.md").read_text()

    composer = open_trained(made, imported.model)
    shown = [Image.new("RGB", (40, 40), colour).copy for colour in ("red", "white")]
    vectors = np.eye(2, imported.model.dimension, dtype=np.float32)
    found = composer.compose(QueryBatch(("red", "red"), vectors, shown)).vectors
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.parametrize("imported", ["blip"], indirect=True)
def test_late_interaction_can_be_asked_for_all_the_same(
    imported: Imported, tmp_path: Path, taken: list[str]
) -> None:
    train(imported, tmp_path, "objective.lar.form=interaction")
    assert set(taken) == {"alignment_loss"}


@pytest.mark.parametrize("arithmetic", ["float32", "int8"])
@pytest.mark.parametrize("imported", ["blip"], indirect=True)
def test_an_adapted_text_encoder_computes_as_the_bundle_does_and_borrows_from_it(
    imported: Imported, tmp_path: Path, arithmetic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(imported.model.bundle.folder, tmp_path / "bundle")
    if arithmetic == "int8":
        monkeypatch.setattr("composir.foundation.quantise.GATE", 0.0)
        quantised_graphs(load_model(folder), lambda _line: None)
        save_manifest(folder, imported.manifest.model_dump(exclude={"schema_version", "files"}))
    foundation = FrozenFoundation.load(folder)
    tower = AdaptedTower(foundation.text, AdapterConfig(width=2, alpha=4.0))
    with torch.no_grad():
        for weights in tower.trained().values():
            weights.add_(torch.randn_like(weights) * 0.2)
    own, graph = foundation.model.bundle.file("text.onnx"), tmp_path / "text.onnx"
    export_adapted_text(tower.switchable(), graph, own, placed=True)

    assert arithmetic_of(own) == arithmetic_of(graph) == arithmetic
    held = onnx.load(graph, load_external_data=False).graph.initializer
    assert [tensor.name for tensor in held if tensor.external_data]
    assert not [tensor.name for tensor in held if len(tensor.raw_data) > 2 * MIN_BYTES]
    texts, before = foundation.model.with_text_graph(graph), foundation.model.encode_texts(TEXTS)
    assert np.abs(texts.encode(TEXTS) - before).max() > 1e-2
    assert np.abs(texts.without_adapters().encode(TEXTS) - before).max() < 1e-5
