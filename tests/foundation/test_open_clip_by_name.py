"""`composir models add open_clip:ARCHITECTURE/TAG`, from a server that speaks as the hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")
pytest.importorskip("onnxscript", reason="needs the foundation extra")

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint
from composir.foundation.families import family_of, open_clip
from composir.foundation.transformers_code import quiet
from composir.model import hub
from tests.e2e.commands import composir, paint_all
from tests.foundation.checkpoints import write_mobileclip, write_open_clip
from tests.hub import Hub, serving

pytestmark = pytest.mark.torch
NAME = "open_clip:MobileCLIP2-S2/dfndr2b"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user data folder, and a hub that has a tiny MobileCLIP2 where the real one's place is."""
    folder = write_mobileclip(tmp_path / "checkpoint")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["model.safetensors"] = b"another library's form"
    monkeypatch.setitem(Hub.repositories, "timm/MobileCLIP2-S2-OpenCLIP", files)
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    fetch = hub.fetch
    with serving() as endpoint:
        settings: dict[str, Any] = {"endpoint": endpoint, "cache_dir": tmp_path / "hub"}

        def fetch_here(repository: Any, **more: Any) -> Path:
            return fetch(repository, **more, **settings, token=False)

        monkeypatch.setattr("composir.model.adding.fetch", fetch_here)
        monkeypatch.chdir(tmp_path)
        yield tmp_path


def test_it_is_added_by_name_and_searched_and_its_licence_follows(home: Path) -> None:
    refused = composir("models", "add", NAME)
    assert refused.exit_code == 2
    assert "Apple AMLR" in refused.stderr
    assert "--accept-licence" in refused.stderr

    done = composir("models", "add", NAME, "--accept-licence", "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert (made["name"], made["licence"]) == ("mobileclip2-s2", "apple-amlr")
    assert made["training"]["imported_from"].startswith("timm/MobileCLIP2-S2-OpenCLIP@")
    parity = made["training"]["parity"]
    assert parity["against"] == "composir's own towers in torch"
    assert parity["text"] < 1e-4

    paint_all(home / "photos")
    photos = ("photos", "--model", "mobileclip2-s2", "--gallery", "g")
    assert "--commercial" in composir("index", *photos, "--commercial").stderr
    assert composir("index", *photos).exit_code == 0
    found = composir("search", "a red square", "--gallery", "g", "--json")
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["hits"]) > 0


def test_open_clips_weights_are_read_and_not_those_of_another_library(tmp_path: Path) -> None:
    with quiet():
        folder = write_open_clip(tmp_path)
    (folder / "config.json").write_text('{"architecture": "vit_base_patch32_clip_224"}')
    (folder / "model.safetensors").write_bytes(b"timm's")
    checkpoint = Checkpoint(folder)
    assert family_of(checkpoint) == "open_clip"
    assert "visual.proj" in checkpoint.state


def test_without_a_tokeniser_it_says_whose_to_take(tmp_path: Path) -> None:
    folder = write_mobileclip(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing.*clip-vit-base-patch32"):
        open_clip.read(Checkpoint(folder))
