"""The hub's client against a server of this machine that speaks what it expects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from composir.errors import ModelError
from composir.model.hub import fetch
from composir.model.sources import Repository
from tests.hub import COMMIT, FILES, Hub, serving


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    pytest.importorskip("huggingface_hub", reason="needs the foundation extra")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving() as endpoint:
        yield {"endpoint": endpoint, "cache_dir": tmp_path / "hub", "token": False}


def test_what_a_bundle_is_made_of_is_fetched_and_no_more(settings: dict[str, Any]) -> None:
    folder = fetch(Repository("org/name"), **settings)
    assert folder.name == COMMIT
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    assert names == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_what_was_fetched_is_there_without_a_connection(settings: dict[str, Any]) -> None:
    folder = fetch(Repository("org/name"), **settings)
    gone = {**settings, "endpoint": "http://127.0.0.1:9"}
    assert fetch(Repository("org/name"), **gone, local_files_only=True) == folder


def test_without_a_connection_it_says_so_and_how_to_go_on(settings: dict[str, Any]) -> None:
    gone = {**settings, "endpoint": "http://127.0.0.1:9"}
    with pytest.raises(
        ModelError, match=r"not wholly, in the hub client's cache.*models add org/n"
    ):
        fetch(Repository("org/name"), **gone, local_files_only=True)


def test_of_a_repository_of_open_clip_its_own_files_are_fetched_alone(
    settings: dict[str, Any],
) -> None:
    folder = fetch(Repository("org/open", open_clip="open_clip:A/b"), **settings)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    assert names == {"open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"}


@pytest.mark.parametrize(
    ("repository", "told"),
    [
        (Repository("org/closed"), "asks for its licence to be accepted: do so at https://hugg"),
        (Repository("org/none", open_clip="open_clip:A/b"), "the hub has no model org/none"),
        (Repository("org/none"), "the hub has no model org/none, or it is private"),
        (Repository("org/pickled"), "holds no weights as safetensors, and pickles"),
    ],
)
def test_what_cannot_be_fetched_says_why(
    settings: dict[str, Any], repository: Repository, told: str
) -> None:
    with pytest.raises(ModelError) as refused:
        fetch(repository, **settings)
    assert told in str(refused.value)


def test_pickles_are_fetched_where_they_are_allowed(settings: dict[str, Any]) -> None:
    folder = fetch(Repository("org/pickled"), pickles=True, **settings)
    assert (folder / "pytorch_model.bin").is_file()


def test_after_a_download_that_was_cut_off_files_that_are_whole_stay(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between the client's attempts
    monkeypatch.setattr(Hub, "sent", [])
    with pytest.raises(ModelError, match=r"fetching org/half failed: .*; the same command resumes"):
        fetch(Repository("org/half"), **settings)
    monkeypatch.setattr(Hub, "sent", [])
    monkeypatch.setattr(Hub, "breaks_off_at", len(FILES["model.safetensors"]))
    folder = fetch(Repository("org/half"), **settings)
    assert Hub.sent == ["model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
