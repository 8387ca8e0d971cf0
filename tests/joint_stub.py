"""A stub of an embeddings endpoint, on loopback: it sees colours, and reads their names.

Its space is that of `fakes.ColourModel`. A picture and words together are the mean of both, so
"green" beside a red picture lies between red and green.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from composir.types import FloatArray
from tests.fakes import ColourModel

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Stub:
    """How it behaves, and what came in.

    Attributes:
        takes: `messages`, `chat`, `content` or `fields`: the one shape of request that it knows.
        width: Of the vectors; more than four are padded with zeros.
        blind: Whether it looks at words alone.
        key: The one that it asks for.
        reply: Answers instead of it, where it gives something.
    """

    takes: str = "messages"
    width: int = 4
    blind: bool = False
    key: str = ""
    reply: Callable[[int], Reply | None] = lambda _: None
    shift: float = 0.0
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[tuple[str, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def source(self) -> str:
        """What `composir models add` takes."""
        return f"{self.url}/v1#colours"

    def answer(self, body: dict[str, Any]) -> Reply:
        """Vectors, or a refusal of another shape."""
        known = self._inputs(body)
        if known is None:
            return _fails(422, "unknown request")
        data = [
            {"index": place, "embedding": [float(x) for x in self._vector(parts)]}
            for place, parts in enumerate(known)
        ]
        return 200, {}, json.dumps({"data": list(reversed(data))}).encode()

    def _inputs(self, body: dict[str, Any]) -> list[list[Any]] | None:
        messages, given = body.get("messages"), body.get("input")
        if messages and self.takes in {"messages", "chat"}:
            roles = [message["role"] for message in messages]
            if (roles[-1] == "assistant") != (self.takes == "messages"):
                return None
            return [next(m["content"] for m in messages if m["role"] == "user")]
        if given and self.takes == "content" and "content" in given[0]:
            return [one["content"] for one in given]
        if given and self.takes == "fields" and "content" not in given[0]:
            return [
                [{"type": "text", "text": one["text"]} for _ in range("text" in one)]
                + [
                    {"type": "image_url", "image_url": {"url": one["image"]}}
                    for _ in range("image" in one)
                ]
                for one in given
            ]
        return None

    def _vector(self, parts: list[Any]) -> FloatArray:
        model, found, sizes = ColourModel(), [], []
        words = " ".join(part["text"] for part in parts if part["type"] == "text")
        for part in parts:
            if part["type"] == "image_url" and not self.blind:
                content = part["image_url"]["url"].partition("base64,")[2]
                image = Image.open(io.BytesIO(base64.b64decode(content)))
                sizes.append(image.size)
                found.append(model.encode_images([image])[0])
        with self.lock:
            self.inputs.append((words, tuple(sizes)))
        if words.strip() or not found:
            found.append(model.encode_texts([words])[0])
        vector = np.mean(found, axis=0) + self.shift
        return np.resize(np.pad(vector, (0, max(0, self.width - 4))), self.width)


@contextmanager
def joint_endpoint(**how: Any) -> Iterator[Stub]:
    """Serve for as long as the block runs."""
    stub = Stub(**how)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.asked.append(body)
                number = len(stub.asked)
            told = stub.reply(number)
            if told is None and stub.key and self.headers["Authorization"] != f"Bearer {stub.key}":
                told = _fails(401, f"wrong key, the right one is {stub.key}")
            if told is None:
                known = self.path == "/v1/embeddings"
                told = stub.answer(body) if known else _fails(404, "no such page")
            code, headers, content = told
            try:
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked has gone
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fails(code: int, message: str = "no", **headers: str) -> Reply:
    """An error in OpenAI's shape; `Retry_After="1"` becomes a header."""
    return _fails(code, message, **headers)


def _fails(code: int, message: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return code, named, json.dumps({"error": {"message": message}}).encode()


def slowly(seconds: float) -> None:
    """Wait, in a reply."""
    time.sleep(seconds)
