"""What cannot be added, by the command itself: a clear line, exit code 2, nothing half-added."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")
pytest.importorskip("onnxscript", reason="needs the foundation extra")

import torch
from safetensors.torch import load_file

from composir.foundation import export
from composir.foundation.parts import Parts
from composir.foundation.transformers_code import quiet
from composir.model.installed import models_folder
from tests.e2e.commands import composir
from tests.foundation.checkpoints import write_clip
from tests.foundation.test_families import FAULTS

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with quiet():
        return write_clip(tmp_path / "some-clip")


def refused(*words: str) -> str:
    """The line that adding gives; nothing has come of it, and the source is as it was."""
    before = {path: path.read_bytes() for path in Path("some-clip").iterdir()}
    result = composir("models", "add", "some-clip", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    there = list(models_folder().iterdir()) if models_folder().is_dir() else []
    assert there == []
    assert {path: path.read_bytes() for path in Path("some-clip").iterdir()} == before
    return result.stderr


@pytest.mark.parametrize("fault", ["no dual encoder", "no weights", "cut weights", "no config"])
def test_no_dual_encoder_and_files_that_are_missing_or_damaged(clip: Path, fault: str) -> None:
    harm: Callable[[Path], object] = FAULTS[fault][0]
    harm(clip)
    told = refused()
    assert "error: " in told
    assert "some-clip" in told


def test_a_pickle_needs_its_flag(clip: Path) -> None:
    torch.save(load_file(clip / "model.safetensors"), clip / "pytorch_model.bin")
    (clip / "model.safetensors").unlink()
    told = refused()
    assert "--allow-pickle" in told


def test_a_licence_that_restricts_needs_a_yes(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clip / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    monkeypatch.setattr("composir.foundation.importer._imported", as_if_made)
    told = refused()
    assert "cc-by-nc-4.0; nothing was added. To accept it: --accept-licence" in " ".join(
        told.split()
    )


def as_if_made(_checkpoint: object, destination: Path, name: str, *_rest: object) -> object:
    from tests.tiny_bundle import make_bundle

    return make_bundle(destination, name=name, licence="cc-by-nc-4.0").manifest


def test_no_room_is_told_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 1000))
    told = refused()
    assert "the bundle needs 0.0 GB" in told


@pytest.mark.parametrize("file", ["gallery_image.onnx", "text_tower.safetensors"])
def test_a_disk_that_is_full_half_way(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    def half(_parts: Parts, folder: Path) -> None:
        (folder / file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_files", half)
    assert "No space left on device" in refused()


def test_a_name_that_is_taken_is_refused_before_anything_is_read(clip: Path) -> None:
    from tests.tiny_bundle import make_bundle

    make_bundle(models_folder() / "mine", name="mine")
    result = composir("models", "add", "some-clip", "--name", "mine")
    assert result.exit_code == 2
    assert "there is a model mine already" in result.stderr
    assert json.loads(composir("models", "--json").stdout)["models"]
