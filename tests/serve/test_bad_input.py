"""Whatever clients send: each has its own problem, soon, and the server lives on."""

from __future__ import annotations

import errno
import shutil
import socket
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest

from composir.compose.trained import ComposerFolder
from composir.device.client import QuerySide
from composir.device.client.wire import pack, unpack
from composir.device.query_export import export_query_side
from composir.gallery import Gallery
from composir.gallery.store import Store
from composir.serve import uploads
from composir.serve.settings import Limits, ServeSettings
from composir.types import FloatArray
from tests.e2e.commands import paint, paint_all
from tests.fakes import COLOURS, ColourModel
from tests.serve.live import colours, live
from tests.tiny_bundle import make_bundle, make_composer

SOON = 10.0  # a second on a machine that does nothing else
FORM = "multipart/form-data; boundary=x"
HEAD = "POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@contextmanager
def soon() -> Iterator[None]:
    begun = time.perf_counter()
    yield
    assert time.perf_counter() - begun < SOON


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["detail"]
    return str(document["code"])


def lives_on(client: httpx.Client) -> None:
    """It answers; at once, but where a test gave it less time than a busy machine needs."""
    asked = (client.post("/v1/search", json={"text": "red", "k": 1}) for _ in range(20))
    assert any(answer.status_code == 200 for answer in asked)


def answer_of(plain: socket.socket) -> bytes:
    """What comes, until its document ends."""
    content = b""
    while not content.endswith(b"}") and (part := plain.recv(65536)):
        content += part
    return content


def upload(client: httpx.Client, content: bytes) -> httpx.Response:
    with soon():
        return client.post("/v1/search", files={"image": ("a.jpg", content)}, data={"text": "red"})


def bomb(side: int) -> bytes:
    """A PNG that says it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(
    ("content", "problem", "status"),
    [
        (b"this is no picture", "unreadable-reference", 422),
        (b"", "unreadable-reference", 422),
        (bomb(30_000), "reference-too-large", 413),
        (bomb(100)[:60], "unreadable-reference", 422),
    ],
    ids=["text called .jpg", "empty", "30,000 x 30,000 pixels", "cut short"],
)
def test_what_is_no_picture(
    client: httpx.Client, content: bytes, problem: str, status: int
) -> None:
    answer = upload(client, content)
    assert (code(answer), answer.status_code) == (problem, status)
    lives_on(client)


def test_an_upload_of_200_megabytes(client: httpx.Client) -> None:
    """What says its length is refused before it is read; what does not, when it is too much."""
    address = (client.base_url.host, client.base_url.port)
    head = f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {FORM}\r\n"
    with soon(), socket.create_connection(address) as plain:
        plain.sendall(f"{head}Content-Length: {200 << 20}\r\n\r\n".encode())
        assert b"body-too-large" in answer_of(plain)
    lives_on(client)


def test_an_upload_without_an_end(gallery: Path) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    settings = ServeSettings(limits=Limits(body=1 << 20))
    with live(gallery, settings) as client:
        with soon():
            try:
                answer = client.post(
                    "/v1/search", content=endless(), headers={"Content-Type": "application/json"}
                )
            except httpx.WriteError:  # the client did not look for an answer before it broke off
                pass
            else:
                assert code(answer) == "body-too-large"
        lives_on(client)


def test_who_ends_a_body_that_was_refused_may_ask_again(gallery: Path) -> None:
    settings = ServeSettings(limits=Limits(body=1000))
    with live(gallery, settings) as client:
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address) as plain:
            plain.sendall(f"{HEAD}Content-Length: 2000\r\n\r\n".encode())
            assert b"body-too-large" in answer_of(plain)
            plain.sendall(b"x" * 2000)
            time.sleep(1.5)  # beyond the time that who does not end it would have
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"alive" in answer_of(plain)


def test_what_is_half_sent_or_slow(gallery: Path) -> None:
    settings = ServeSettings(limits=Limits(body_seconds=0.3, header_seconds=0.3))
    sent = [
        f'{HEAD}Content-Length: 100\r\n\r\n{{"text"',  # half of a body
        HEAD,  # half of a head
        "",  # nothing at all
    ]
    with live(gallery, settings) as client:
        address = (client.base_url.host, client.base_url.port)
        for text in sent:
            with soon(), socket.create_connection(address) as plain:
                plain.sendall(text.encode())
                assert b"request-too-slow" in answer_of(plain)
        lives_on(client)


def test_what_is_no_http(client: httpx.Client) -> None:
    address = (client.base_url.host, client.base_url.port)
    with soon(), socket.create_connection(address) as plain:
        plain.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"invalid-request" in answer_of(plain)
    lives_on(client)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"images": [{"id": "0123456789abcdef"}]}, "image-not-found"),
        ({"images": [{"id": "../../etc/passwd"}]}, "invalid-request"),
        ({"images": [{"id": "01", "url": "https://a"}]}, "invalid-request"),
        ({"images": [{"url": "https://127.0.0.1/a.jpg"}]}, "not-allowed"),
        ({"images": [{"data": "no base64!"}]}, "invalid-request"),
        ({"text": "red", "where": "width >"}, "filter"),
        ({"text": "red", "where": "'" * 4001}, "invalid-request"),
        ({"text": "red", "composer": "/etc"}, "composer-not-found"),
        ({"text": "red", "composer": "sum", "settings": {"alpha": "x"}}, "query"),
        ({"text": "red", "composer": "sum", "settings": {"nothing": 1}}, "query"),
        ({"message": "AAAA"}, "device-message"),
        ({"text": "red", "k": 0}, "invalid-request"),
        ({"text": "red", "k": 10**9}, "invalid-request"),
        ({"text": "red", "kk": 1}, "invalid-request"),
        ({"text": "red", "balance": 0.1}, "query"),
        ({"text": "red", "more": ["0123456789abcdef"]}, "image-not-found"),
        ({"text": "x" * 2001}, "invalid-request"),
        ({"cursor": "nothing.10"}, "cursor-expired"),
        ({"cursor": "x", "text": "red"}, "cursor-expired"),
        ({"text": "red", "crop": {"x": 0, "y": 0, "width": 1, "height": 1}}, "query"),
        ({}, "query"),
        ([], "invalid-request"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_what_cannot_be_asked(client: httpx.Client, asked: Any, problem: str) -> None:
    with soon():
        assert code(client.post("/v1/search", json=asked)) == problem
    lives_on(client)


@pytest.mark.parametrize(
    ("kind", "content", "problem"),
    [
        ("application/json", b"{", "invalid-request"),
        ("application/json", b"[" * 100_000, "invalid-request"),
        ("application/json", b'{"text": "\xff"}', "invalid-request"),
        ("text/plain", b"red", "media-type"),
        ("multipart/form-data", b"red", "invalid-request"),
        (FORM, b"red", "invalid-request"),
        (FORM, b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n1\r\n--x--\r\n',
         "invalid-request"),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_read(
    client: httpx.Client, kind: str, content: bytes, problem: str
) -> None:
    with soon():
        answer = client.post("/v1/search", content=content, headers={"Content-Type": kind})
    assert code(answer) == problem
    lives_on(client)


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("GET", "/v1/nothing", "not-found"),
        ("GET", "/assets/../../settings.py", "not-found"),
        ("GET", "/%2e%2e/%2e%2e/settings.py", "not-found"),
        ("GET", "/v1/search", "not-found"),
        ("PUT", "/v1/search", "method-not-allowed"),
        ("GET", "/v1/images/0123456789abcdef", "image-not-found"),
        ("GET", "/v1/images/0123456789abcdef/thumbnail", "image-not-found"),
        ("GET", "/v1/images/0123456789abcdef/original", "not-allowed"),
        ("GET", "/v1/images/..%2f..%2fetc", "not-found"),
        ("GET", "/v1/images/NOTHEX", "invalid-request"),
        ("DELETE", "/v1/images/0123456789abcdef", "image-not-found"),
        ("POST", "/v1/images", "not-allowed"),
        ("GET", "/v1/jobs/nothing", "job-not-found"),
        ("GET", "/v1/jobs/nothing/events", "job-not-found"),
        ("DELETE", "/v1/jobs/nothing", "job-not-found"),
        ("GET", "/v1/model/query-side/..%2fmini/query.onnx", "not-found"),
        ("GET", "/v1/model/query-side/nothing/query.onnx", "not-found"),
    ],
)
def test_addresses_that_lead_nowhere(
    client: httpx.Client, method: str, path: str, problem: str
) -> None:
    with soon():
        assert code(client.request(method, path)) == problem


def test_folders_that_the_gallery_does_not_know(client: httpx.Client, gallery: Path) -> None:
    for path in ("/etc", str(gallery.parent / "pictures" / ".." / ".."), "relative"):
        assert code(client.post("/v1/jobs", json={"paths": [path]})) == "not-allowed"


def test_tokens_of_another_model(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    make_composer(tmp_path / "tiny" / "composers" / "isa", model, "pixels", name="isa")
    model = make_bundle(tmp_path / "tiny")
    paint_all(tmp_path / "pictures")
    Gallery.create_or_open(tmp_path / "gallery", model).index([tmp_path / "pictures"])
    composer = tmp_path / "tiny" / "composers" / "isa"
    export_query_side(ComposerFolder.load(composer), tmp_path / "device")
    red = np.full((30, 40, 3), COLOURS["red"], dtype=np.uint8)
    message = QuerySide(tmp_path / "device").message(red, "blue")
    other = pack(replace(unpack(message), gallery_fingerprint="0" * 16))
    with live(tmp_path / "gallery", model=model) as client:
        [side] = client.get("/v1/model").json()["query_sides"]
        graph = client.get(side["graph"])
        assert len(graph.content) == side["bytes"]
        assert "immutable" in graph.headers["cache-control"]
        found = client.post("/v1/search", files={"message": message}, data={"k": "1"})
        assert found.status_code == 200
        assert found.json()["composer"] == "isa"
        answer = client.post("/v1/search", files={"message": other})
        assert (code(answer), answer.status_code) == ("tokens-of-another-model", 409)


def test_a_gallery_deleted_while_serving(tmp_path: Path) -> None:
    gallery = colours(tmp_path)
    with live(gallery) as client:
        lives_on(client)
        gallery.rename(tmp_path / "elsewhere")
        for missing in ("hide", "keep"):
            with soon():
                answer = client.post("/v1/search", json={"text": "red", "missing": missing})
            assert (code(answer), answer.status_code) == ("gallery-not-found", 503)
        assert code(client.get("/readyz")) == "gallery-not-found"
        assert client.get("/healthz").json()["status"] == "alive"
        (tmp_path / "elsewhere").rename(gallery)
        lives_on(client)


def test_a_gallery_made_anew_with_another_model(tmp_path: Path) -> None:
    gallery = colours(tmp_path)
    with live(gallery) as client:
        shutil.rmtree(gallery)
        colours(tmp_path, ColourModel("colours-2"))
        assert code(client.post("/v1/search", json={"text": "red"})) == "bundle-mismatch"


def test_a_full_disk_while_adding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = colours(tmp_path)
    content = paint(tmp_path / "new.png", "red", (9, 9)).read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device")

    def no_room(*_: object, **__: object) -> None:
        raise full

    with live(gallery, ServeSettings(uploads=tmp_path / "added")) as client:
        places: list[tuple[object, str]] = [(uploads, "replaced_atomically"), (Store, "append")]
        for place, name in places:
            with monkeypatch.context() as patch:
                patch.setattr(place, name, no_room)
                answer = client.post("/v1/images", files={"image": content})
            assert (code(answer), answer.status_code) == ("disk-full", 507)
            lives_on(client)


class Gated(ColourModel):
    """A model whose words wait for a gate to open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.begun = Event(), Event()
        self.asked: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        self.asked += texts
        if "warm" not in texts:
            self.begun.set()
            assert self.gate.wait(20)
        return super().encode_texts(texts)


@contextmanager
def gated(gallery: Path, **limits: Any) -> Iterator[tuple[httpx.Client, Gated]]:
    model = Gated()
    with ExitStack() as stack:
        client = stack.enter_context(live(gallery, ServeSettings(limits=Limits(**limits)), model))
        stack.callback(model.gate.set)
        yield client, model


def until_waiting(client: httpx.Client, count: int) -> None:
    """Until so many requests wait or are worked on."""
    for _ in range(1000):
        if f"\ncomposir_waiting {count}.0\n" in client.get("/metrics").text:
            return
        time.sleep(0.01)
    pytest.fail(f"there never were {count}")


def test_more_than_can_be_answered_is_told_when_to_come_back(gallery: Path) -> None:
    with (
        gated(gallery, waiting=2, workers=1) as (client, model),
        ThreadPoolExecutor(2) as pool,
    ):
        held = [pool.submit(client.post, "/v1/search", json={"text": "red"}) for _ in range(2)]
        assert model.begun.wait(20)
        until_waiting(client, 2)
        answer = client.post("/v1/search", json={"text": "red"})
        assert (code(answer), answer.status_code) == ("busy", 429)
        assert int(answer.headers["retry-after"]) >= 1
        model.gate.set()
        assert [one.result().status_code for one in held] == [200, 200]


def test_an_answer_that_takes_too_long(gallery: Path) -> None:
    with gated(gallery, seconds=0.5) as (client, model):
        with soon():
            answer = client.post("/v1/search", json={"text": "red"})
        assert (code(answer), answer.status_code) == ("answer-too-slow", 503)
        model.gate.set()
        lives_on(client)


def test_for_a_client_that_went_away_nothing_is_done(gallery: Path) -> None:
    with gated(gallery, workers=1) as (client, model), ThreadPoolExecutor(1) as pool:
        held = pool.submit(client.post, "/v1/search", json={"text": "red"})
        assert model.begun.wait(20)
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address) as plain:
            plain.sendall(f'{HEAD}Content-Length: 17\r\n\r\n{{"text": "green"}}'.encode())
            until_waiting(client, 2)
        until_waiting(client, 1)
        model.gate.set()
        assert held.result().status_code == 200
        lives_on(client)
        assert "green" not in model.asked


def test_a_thousand_connections(client: httpx.Client) -> None:
    resource = pytest.importorskip("resource")  # of Unix
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    most = 10**6 if before[1] == resource.RLIM_INFINITY else before[1]
    count = min(1000, (most - 300) // 2)  # this process has both ends
    address = (client.base_url.host, client.base_url.port)
    try:
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(socket.create_connection(address))
            with soon():
                lives_on(client)
        assert count > 50
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    lives_on(client)
