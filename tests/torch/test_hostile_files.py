"""Files of training runs that are damaged or made to harm: read, or refused in words."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpus import SOURCES, read_corpus
from torch import Tensor, nn

from composir.errors import TrainingError
from composir.train.composing.anchors import anchor_texts
from composir.train.composing.triplet_files import read_triplets
from composir.train.config import read_config
from composir.train.loop import CHECKPOINT, LoopConfig, ParameterGroup, train
from composir.train.run_folder import claim
from composir.train.steering import read_phrases
from tests.hostile import json_variants, refusals, text_variants

CONFIG = LoopConfig(steps=4, warmup=1, evaluate_every=2, checkpoint_every=2)


class Line(nn.Module):
    """Two numbers that learn to be one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[3.0, -2.0]]))

    def groups(self) -> list[ParameterGroup]:
        return [ParameterGroup((self.weight,), 0.1)]

    def loss(self, step: int) -> Tensor:
        return (self.weight - 1.0).square().sum() * (1 + step % 2)

    def evaluate(self) -> dict[str, float]:
        return {"weight": float(self.weight.detach().sum())}


def test_configurations(tmp_path: Path) -> None:
    variants = text_variants("steps = 3\n") | {
        "nested": b"steps = " + b"[" * 100_000,
        "digits": b"steps = " + b"9" * 5000,
        "nan": b"clip = nan",
        "infinite": b"clip = inf",
        "negative": b"steps = -1",
        "table": b"[steps]\na = 1",
        "list": b"steps = [1]",
    }
    refused = refusals(
        tmp_path / "c.toml", variants, lambda path: read_config(LoopConfig, path, [])
    )
    assert refused == set(variants) - {"empty", "blank", "marked"}


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000, "nan", "inf", "-inf", "1e300"])
def test_settings_of_the_command_line(value: str) -> None:
    with pytest.raises(TrainingError):
        read_config(LoopConfig, None, [f"clip={value}"])


def test_run_folders(tmp_path: Path) -> None:
    place = tmp_path / "run" / "config.json"
    place.parent.mkdir()
    (place.parent / CHECKPOINT).touch()
    sound = json.loads(json.dumps({"steps": 4, "clip": 1.0}))
    refused = refusals(place, json_variants(sound), lambda path: claim(path.parent, CONFIG))
    assert refused == set(json_variants(sound))


@pytest.mark.parametrize("name", ["rows.jsonl", "queries.jsonl"])
def test_triplets(tmp_path: Path, name: str) -> None:
    for image in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / image).touch()
    sound = {"reference": "a.jpg", "text": "red", "targets": ["b.jpg"], "shown": ["c.jpg"]}
    refused = refusals(tmp_path / name, json_variants(sound), read_triplets)
    assert {"nested lists", "digits", "latin", "text 1", "targets 0"} <= refused


def test_lists_of_texts(tmp_path: Path) -> None:
    place = tmp_path / "texts.txt"
    assert refusals(place, text_variants("a dog\n"), lambda path: anchor_texts([path])) == {
        *("empty", "blank", "latin", "utf16", "binary")
    }
    assert "latin" in refusals(place, text_variants("red\nblue\n"), read_phrases)


@pytest.mark.parametrize("source", SOURCES)
def test_training_pictures(tmp_path: Path, source: str) -> None:
    (tmp_path / source).mkdir()
    sound = {
        "file": "a.jpg",
        "captions": ["a dog ."],
        "title": "Red Shirt",
        "type": "Shirt",
        "colour": "Red",
        "domain": "photo",
        "class": "dog",
        "coarse": "pet",
    }
    refused = refusals(
        tmp_path / source / "gallery.jsonl",
        json_variants(sound, (None, 5, [], {}, "\ud800")),
        lambda path: read_corpus(path.parent.parent, (source,)),
    )
    assert {"nested lists", "digits", "latin", "file away", "null"} <= refused


@pytest.fixture
def run(tmp_path: Path) -> Path:
    train(Line(), CONFIG, tmp_path)
    return tmp_path / CHECKPOINT


def changed(path: Path, **fields: Any) -> None:
    torch.save(torch.load(path, weights_only=True) | fields, path)


NAN, HUGE = torch.tensor([[float("nan"), 1.0]]), torch.zeros(1, 1).expand(10**6, 10**6)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"parameters": [NAN]}, "NaN or infinite"),
        ({"average": [NAN]}, "NaN or infinite"),
        ({"average": [torch.zeros(1, 3)]}, "averaged weights have other shapes"),
        ({"parameters": [HUGE]}, "parameters have other shapes"),
        ({"parameters": {}}, "parameters are no list"),
        ({"task": {"pool": HUGE}}, "claims more numbers than are stored"),
        ({"step": -1}, "of step -1"),
        ({"step": 10**9}, "of step 1000000000, and the run has 4"),
        ({"step": "4"}, "of step 4"),
        ({"watch": {"best": float("nan"), "waited": 0, "weights": []}}, "best figure"),
        ({"watch": [1]}, "best figure"),
        ({"optimiser": {}}, "does not fit"),
    ],
)
def test_checkpoints_that_must_not_be_trained_on(
    run: Path, fields: dict[str, Any], reason: str
) -> None:
    changed(run, **fields)
    with pytest.raises(TrainingError, match=rf"checkpoint\.pt .*{reason}"):
        train(Line(), CONFIG, run.parent)


def test_an_optimiser_of_other_weights_or_settings_is_refused(run: Path) -> None:
    state = torch.load(run, weights_only=True)["optimiser"]
    state["state"][0]["exp_avg"] = torch.zeros(7)
    changed(run, optimiser=state)
    with pytest.raises(TrainingError, match="optimiser is that of other weights"):
        train(Line(), CONFIG, run.parent)
    state["state"][0]["exp_avg"] = torch.zeros(1, 2)
    state["param_groups"][0]["betas"] = (0.1, 0.1)
    changed(run, optimiser=state)
    with pytest.raises(TrainingError, match="optimiser has another betas"):
        train(Line(), CONFIG, run.parent)


def test_checkpoints_of_other_makers_are_refused(run: Path) -> None:
    with zipfile.ZipFile(run) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(run.with_name("packed"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    whole = run.read_bytes()
    variants = text_variants("no checkpoint") | {
        "packed": run.with_name("packed").read_bytes(),
        "cut short": whole[:-100],
        "zeros inside": whole[:200] + bytes(200) + whole[400:],
        "pickle": b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
    }
    variants.pop("one line")
    refused = refusals(run, variants, lambda path: train(Line(), CONFIG, path.parent))
    assert refused == set(variants)


def test_weights_that_are_nan_are_not_saved(tmp_path: Path) -> None:
    class Bad(Line):
        def loss(self, step: int) -> Tensor:
            loss = super().loss(step)
            if step == 3:  # a finite loss of infinite gradients
                loss = loss + (self.weight - self.weight.detach()).abs().sum().sqrt()
            return loss

    first = LoopConfig(steps=3, warmup=1, evaluate_every=3, checkpoint_every=1)
    with pytest.raises(TrainingError, match="weights are NaN or infinite at step 3"):
        train(Bad(), first, tmp_path)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["step"] == 2
    assert np.isfinite(kept["parameters"][0].numpy()).all()
