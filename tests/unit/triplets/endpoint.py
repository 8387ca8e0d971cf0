"""A stub of an OpenAI-compatible endpoint, on loopback, that behaves as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]


def says(text: str) -> Reply:
    """A chat completion."""
    document = {
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5},
    }
    return 200, {}, json.dumps(document).encode()


def fails(code: int, message: str = "no", **headers: str) -> Reply:
    """An error in the usual shape; `Retry_After="1"` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return code, named, json.dumps({"error": {"message": message}}).encode()


@dataclass
class Stub:
    """What came in, and what goes out: `reply` gets the number of the request and its JSON."""

    reply: Callable[[int, dict[str, Any]], Reply]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    headers: list[set[str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    drip_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def endpoint(reply: Callable[[int, dict[str, Any]], Reply], **more: Any) -> Iterator[Stub]:
    """Serve for as long as the block runs."""
    stub = Stub(reply, **more)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                number = len(stub.bodies)
                stub.bodies.append(body)
                stub.keys.append(self.headers.get("Authorization"))
                stub.headers.append({name.lower() for name in self.headers})
                stub.times.append(time.monotonic())
            if self.path != "/v1/chat/completions":
                code, headers, content = fails(404, "not found")
            else:
                code, headers, content = stub.reply(number, body)
            try:
                self._answer(code, headers, content)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client would not wait: that is the test

        def _answer(self, code: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            step = 1 if stub.drip_seconds else len(content) or 1
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                self.wfile.flush()
                time.sleep(stub.drip_seconds)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
