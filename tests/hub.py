"""A server of this machine that speaks what the hub's client expects."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

COMMIT = "c0ffee" + "0" * 34
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "model.safetensors": b"weights " * 1000,
    "pytorch_model.bin": b"a pickle",
    "onnx/model.onnx": b"not wanted",
}


class Hub(BaseHTTPRequestHandler):
    """Some repositories; `org/closed` is gated, `org/half` breaks off in its weights."""

    repositories: ClassVar[dict[str, dict[str, bytes]]] = {
        "org/name": FILES,
        "org/half": FILES,
        "org/pickled": {n: data for n, data in FILES.items() if "safetensors" not in n},
        "org/open": {
            **FILES,
            "open_clip_config.json": b"{}",
            "open_clip_model.safetensors": b"weights",
            "open_clip_pytorch_model.bin": b"a pickle",
            "tokenizer.json": b"{}",
        },
    }
    breaks_off_at = 100
    sent: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4])
        elif parts[2:3] == ["resolve"] and "/".join(parts[4:]) in self._of("/".join(parts[:2])):
            self._file("/".join(parts[:2]), "/".join(parts[4:]), body)
        else:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _api(self, repository: str, asked: str) -> None:
        if repository == "org/closed":
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif repository not in self.repositories:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif asked == "tree":
            self._json([_entry(name, data) for name, data in self._of(repository).items()])
        else:
            siblings = [{"rfilename": name} for name in self._of(repository)]
            self._json({"id": repository, "sha": COMMIT, "siblings": siblings})

    def _of(self, repository: str) -> dict[str, bytes]:
        return self.repositories.get(repository, {})

    def _file(self, repository: str, name: str, body: bool) -> None:
        data = self._of(repository)[name]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        end = len(data)
        if repository == "org/half" and name.endswith("safetensors"):
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
