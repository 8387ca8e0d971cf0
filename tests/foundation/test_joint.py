"""Joint encoders of transformers: real architectures with random weights, added and asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the foundation extra")
pytest.importorskip("transformers", reason="needs the foundation extra")

import torch

from composir.errors import MissingExtraError, ModelError
from composir.images.preprocess import PreprocessSpec
from composir.model.catalogue import open_model
from composir.model.hub import fetch
from composir.model.installed import models_folder
from composir.model.joint import making
from composir.model.joint.joint_model import PADDING
from composir.model.joint.local import LocalBackend
from composir.model.joint.probe import probe
from composir.types import FloatArray
from tests.e2e.commands import composir, paint_all
from tests.foundation.checkpoints import write_clip
from tests.foundation.joint_checkpoints import write_gemma, write_qwen
from tests.hub import COMMIT, Hub, serving

pytestmark = pytest.mark.torch
LAST = {"pooling_mode": "lasttoken"}
MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small = PreprocessSpec(size=32, fit="pad", pad_colour=PADDING)
        patch.setattr("composir.model.joint.making.SPEC", small)
        yield


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gemma(tmp_path_factory.mktemp("joint") / "gemma", **MEAN)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_qwen(tmp_path_factory.mktemp("joint") / "qwen", **LAST)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unit(vectors: list[FloatArray]) -> FloatArray:
    rows = np.stack(vectors)
    found: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


@pytest.mark.parametrize("name", ["gemma", "qwen"])
def test_one_at_a_time_gives_what_many_at_once_give(
    name: str, request: pytest.FixtureRequest
) -> None:
    backend = LocalBackend(request.getfixturevalue(name))
    wide = Image.new("RGB", (60, 20), "blue")
    items = [*probe(), ("a",), (wide,), (wide, "a red bicycle", "blue")]
    together = unit(backend.encode(items, "find this"))
    alone = unit([backend.encode([parts], "find this")[0] for parts in items])
    assert np.abs(together - alone).max() < 1e-4


@pytest.mark.parametrize("name", ["gemma", "qwen"])
def test_every_part_and_the_instruction_count(name: str, request: pytest.FixtureRequest) -> None:
    backend = LocalBackend(request.getfixturevalue(name))
    told, untold = (unit(backend.encode(probe(), text)) for text in ("find this", ""))
    likeness = told @ told.T - np.eye(4)
    assert likeness.max() < 0.999
    assert (told * untold).sum(axis=1).max() < 0.9999


def test_words_are_pooled_as_the_models_own_code_gives_them(gemma: Path, qwen: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    found = LocalBackend(gemma).encode([("a red bicycle",)], "find this ")[0]
    tokens = AutoTokenizer.from_pretrained(gemma)("find this a red bicycle", return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(gemma).eval()(**tokens).last_hidden_state[0]
    assert np.allclose(found, states.mean(0).numpy(), atol=1e-5)
    found = LocalBackend(qwen).encode([("a red bicycle",)], "find this")[0]
    text = (
        "<|im_start|>system find this<|im_end|> <|im_start|>user a red bicycle<|im_end|> "
        "<|im_start|>assistant "
    )
    tokens = AutoTokenizer.from_pretrained(qwen)(text, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(qwen).eval()(**tokens).last_hidden_state[0]
    assert np.allclose(found, states[-1].numpy(), atol=1e-5)


def test_the_pooling_is_what_its_files_say_or_its_kinds(tmp_path: Path, gemma: Path) -> None:
    said: list[tuple[Mapping[str, object], str]] = [
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        (MEAN, "mean"),
    ]
    copy = shutil.copytree(gemma, tmp_path / "copy")
    for content, pooling in said:
        (copy / "1_Pooling" / "config.json").write_text(json.dumps(content))
        assert LocalBackend(copy)._pooling == pooling
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode": "max"}')
    with pytest.raises(ModelError, match="a pooling that is not known"):
        LocalBackend(copy)
    shutil.rmtree(copy / "1_Pooling")
    assert LocalBackend(copy)._pooling == "mean"
    (copy / "modules.json").write_text('[{"type": "a.Transformer"}, {"type": "a.Dense"}]')
    with pytest.raises(ModelError, match=r"adds Dense to the model.*add its endpoint"):
        LocalBackend(copy)


@pytest.mark.parametrize("name", ["gemma", "qwen"])
def test_it_is_added_and_a_gallery_lives_on_it(
    name: str, request: pytest.FixtureRequest, home: Path
) -> None:
    source = shutil.copytree(request.getfixturevalue(name), home / "source")
    done = composir("models", "add", f"joint:{source}", "--name", "mine", "--json")
    assert done.exit_code == 0, done.output
    entry = json.loads(done.stdout)
    assert (entry["licence"], entry["commercial"]) == ("apache-2.0", "allowed")
    assert entry["family"].startswith("joint encoder (")
    assert entry["sends_to"] is None
    shutil.rmtree(source)
    paint_all(home / "photos")
    for line in (
        ("index", "photos", "--model", "mine", "--gallery", "g"),
        ("search", "red", "--gallery", "g", "--commercial"),
        ("models", "check", "mine"),
    ):
        done = composir(*line)
        assert done.exit_code == 0, done.output
    done = composir("search", "-i", "photos/red.png", "blue", "-g", "g", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["composer"] == "joint"
    assert len(json.loads(done.stdout)["hits"]) == 7


def test_a_query_is_told_what_its_files_say_unless_asked_otherwise(home: Path, gemma: Path) -> None:
    for words, told in (((), "task : search result | query : "), (("--instruction", "x"), "x")):
        name = f"m{len(words)}"
        done = composir("models", "add", f"joint:{gemma}", "--name", name, *words)
        assert done.exit_code == 0, done.output
        model = open_model(name)
        assert model.joint is not None
        assert model.joint.query_instruction == told
    assert open_model("m0").fingerprint == open_model("m2").fingerprint


def test_it_comes_from_the_hub_with_what_its_pooling_needs_and_no_more(
    home: Path, qwen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {p.relative_to(qwen).as_posix(): p.read_bytes() for p in qwen.rglob("*") if p.is_file()}
    unwanted = {"onnx/model.onnx": b"no", "2_Dense/model.safetensors": b"no", "a.bin": b"no"}
    monkeypatch.setitem(Hub.repositories, "org/Qwen3-VL-Embedding-tiny", files | unwanted)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    source = "joint:org/Qwen3-VL-Embedding-tiny"
    with serving() as endpoint:
        settings: dict[str, Any] = {"endpoint": endpoint, "cache_dir": home / "hub", "token": False}
        monkeypatch.setattr("composir.model.adding.fetch", partial(fetch, **settings))
        done = composir("models", "add", source)
        assert done.exit_code == 0, done.output
    folder = models_folder() / "qwen3-vl-embedding-tiny"
    taken = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert taken == {"joint.json", "probe.npy", *(f"checkpoint/{name}" for name in files)}
    made = json.loads((folder / "joint.json").read_text())
    assert made["instructions"]["picture"] == "Represent the user's input."
    assert made["training"]["imported_from"] == f"{source}@{COMMIT}"
    shutil.rmtree(home / "hub")
    assert len(open_model("qwen3-vl-embedding-tiny").encode_texts(["red"])) == 1


def _lose(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_lose("model.safetensors"), "holds no model of transformers"),
        (_lose("tokenizer.json"), "holds no model of transformers"),
        (_lose("processor_config.json"), "holds no model of transformers"),
        (_lose("config.json"), "holds no model: config.json is missing"),
    ],
)
def test_what_is_incomplete_is_not_added(
    home: Path, gemma: Path, harm: Callable[[Path], object], told: str
) -> None:
    copy = shutil.copytree(gemma, home / "copy")
    harm(copy)
    done = composir("models", "add", f"joint:{copy}")
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())
    assert list(models_folder().iterdir()) == []


def test_a_dual_encoder_is_none(home: Path) -> None:
    done = composir("models", "add", f"joint:{write_clip(home / 'clip')}")
    assert done.exit_code == 2, done.output
    assert "cannot read these pictures and words" in done.stderr
    assert list(models_folder().iterdir()) == []


def test_a_checkpoint_that_was_changed_is_refused(home: Path, gemma: Path) -> None:
    copy = shutil.copytree(gemma, home / "copy")
    assert composir("models", "add", f"joint:{copy}").exit_code == 0
    path = models_folder() / "copy" / "checkpoint" / "config.json"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b'"hidden_size": 16', b'"hidden_size": 17'))
    with pytest.raises(ModelError, match=r"config.json is damaged"):
        open_model("copy").encode_texts(["red"])


def test_what_runs_it_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(f"no {name}", name=name)

    monkeypatch.setattr("composir.lazy.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"composir\[foundation\]"):
        making.load_local()


def test_nothing_is_trained_on_it(home: Path, gemma: Path) -> None:
    assert composir("models", "add", f"joint:{gemma}", "--name", "mine").exit_code == 0
    paint_all(home / "photos")
    for recipe in ("map", "isa"):
        done = composir("train", recipe, "--model", "mine", "--images", "photos", "--out", recipe)
        assert done.exit_code == 2, done.output
        assert "mine is a joint encoder: it has no encoder of words of its own" in done.stderr
