"""The hub's client against a server of this machine that speaks what it expects."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from composir.errors import ModelError
from composir.model.hub import fetch
from composir.model.sources import Repository

COMMIT = "c0ffee" + "0" * 34
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "model.safetensors": b"weights " * 1000,
    "pytorch_model.bin": b"a pickle",
    "onnx/model.onnx": b"not wanted",
}


class Hub(BaseHTTPRequestHandler):
    """One repository, `org/name`; `org/closed` is gated, `org/half` breaks off in its weights."""

    files = FILES
    breaks_off_at = 100
    sent: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4])
        elif parts[2:3] == ["resolve"] and "/".join(parts[4:]) in self.files:
            self._file("/".join(parts[4:]), parts[1] == "half", body)
        else:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _api(self, repository: str, asked: str) -> None:
        if repository == "org/closed":
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif repository not in {"org/name", "org/half", "org/pickled"}:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif asked == "tree":
            self._json([_entry(name, data) for name, data in self._of(repository).items()])
        else:
            siblings = [{"rfilename": name} for name in self._of(repository)]
            self._json({"id": repository, "sha": COMMIT, "siblings": siblings})

    def _of(self, repository: str) -> dict[str, bytes]:
        pickled = repository == "org/pickled"
        return {n: d for n, d in self.files.items() if not (pickled and "safetensors" in n)}

    def _file(self, name: str, half: bool, body: bool) -> None:
        data = self.files[name]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        end = len(data)
        if half and name.endswith("safetensors"):
            self.close_connection, end = True, self.breaks_off_at
        if body:
            self.sent.append(name)
        self._answer(200, data[:end] if body else b"", headers, len(data))

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(
        self, code: int, data: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_words: Any) -> None:
        """Stay quiet."""


def _entry(name: str, data: bytes) -> dict[str, object]:
    return {
        "type": "file",
        "path": name,
        "size": len(data),
        "oid": hashlib.sha1(data).hexdigest(),
    }


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


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


@pytest.mark.parametrize(
    ("repository", "told"),
    [
        (Repository("org/closed"), "asks for its licence to be accepted: do so at https://hugg"),
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
    with pytest.raises(ModelError, match=r"fetching org/half failed: .*; the same command goes on"):
        fetch(Repository("org/half"), **settings)
    monkeypatch.setattr(Hub, "sent", [])
    monkeypatch.setattr(Hub, "breaks_off_at", len(FILES["model.safetensors"]))
    folder = fetch(Repository("org/half"), **settings)
    assert Hub.sent == ["model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
