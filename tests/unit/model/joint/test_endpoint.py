"""What an endpoint may do, and what becomes of it."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.errors import ModelError
from composir.model.base import Parts
from composir.model.joint.address import parse_address
from composir.model.joint.endpoint import ATTEMPTS, EndpointBackend, RefusedInputError, read_key
from composir.model.joint.joint_bundle import Endpoint
from tests.fakes import COLOURS, ColourModel
from tests.joint_stub import Reply, Stub, fails, joint_endpoint, slowly

RED = Image.new("RGB", (30, 20), COLOURS["red"])


def backend(stub: Stub, **how: Any) -> EndpointBackend:
    """One that does not wait between attempts."""
    made = {"url": f"{stub.url}/v1", "model": "colours", "shape": stub.takes, **how}
    return EndpointBackend(Endpoint.model_validate(made), lambda _: None)


@pytest.mark.parametrize("shape", ["messages", "chat", "content", "fields"])
def test_pictures_and_words_go_out_and_vectors_come_back_in_order(shape: str) -> None:
    items: list[Parts] = [(RED,), ("green",), (RED, "green")]
    with joint_endpoint(takes=shape) as stub:
        red, green, both = backend(stub).encode(items, "")
    model = ColourModel()
    pure = model.encode_images([RED])[0], model.encode_texts(["green"])[0]
    assert np.allclose(red, pure[0], atol=0.02)
    assert np.allclose(green, pure[1], atol=1e-5)
    assert np.allclose(both, np.mean(pure, axis=0), atol=0.02)
    assert {body["model"] for body in stub.asked} == {"colours"}


def test_the_instruction_is_a_system_message_or_comes_first() -> None:
    with joint_endpoint() as stub:
        backend(stub).encode([("red",)], "be brief")
    system, user, answer = stub.asked[0]["messages"]
    assert (system["role"], system["content"][0]["text"]) == ("system", "be brief")
    assert (user["content"][0]["text"], answer["content"][0]["text"]) == ("red", "")
    for shape in ("chat", "content", "fields"):
        with joint_endpoint(takes=shape) as stub:
            backend(stub).encode([("red",)], "be brief")
        assert stub.inputs[0][0] == "be brief red"


def test_many_inputs_go_in_few_requests_where_the_shape_allows() -> None:
    with joint_endpoint(takes="content") as stub:
        vectors = backend(stub).encode([(name,) for name in COLOURS] * 3, "")
    assert len(stub.asked) == 2
    assert np.allclose(vectors[8:16], vectors[:8])


def test_what_passes_is_tried_again_as_late_as_it_asks() -> None:
    def reply(number: int) -> Reply | None:
        return {1: fails(503), 2: fails(429, Retry_After="7")}.get(number)

    waited: list[float] = []
    with joint_endpoint(reply=reply) as stub:
        made = Endpoint(url=f"{stub.url}/v1", model="colours", shape="messages")
        assert len(EndpointBackend(made, waited.append).encode([("red",)], "")) == 1
    assert (len(stub.asked), waited) == (3, [0.5, 7.0])


@pytest.mark.parametrize(
    ("reply", "told", "requests"),
    [
        (fails(500, "out of memory"), "answers 500 (out of memory), 4 times", ATTEMPTS),
        (fails(401, "nobody knows you"), "nobody knows you; no key was sent", 1),
        (fails(404, "no such model"), "is its model 'colours'", 1),
        (fails(400, "images are not\nsupported"), "answers 400: images are not supported", 1),
        ((413, {}, b"<html>too large</html>"), "answers 413: <html>too large</html>", 1),
        ((307, {"Location": "http://127.0.0.1:9/v1"}, b""), "leads to another address", 1),
        ((200, {}, b"<html>welcome</html>"), "something else than 1 vectors", 1),
        ((200, {}, b'{"data": []}'), "something else than 1 vectors", 1),
        ((200, {}, b'{"data": [{"embedding": "?"}]}'), "something else than 1 vectors", 1),
        ((200, {}, b'{"data": [{"embedding": [[1]]}]}'), "something else than 1 vectors", 1),
        ((200, {}, b"[" * 100_000), "something else than 1 vectors", 1),
    ],
)
def test_what_it_answers_instead_is_told(reply: Reply, told: str, requests: int) -> None:
    with joint_endpoint(reply=lambda _: reply) as stub, pytest.raises(ModelError) as caught:
        backend(stub).encode([("red",)], "")
    assert told in str(caught.value)
    assert len(stub.asked) == requests


def test_only_a_refused_input_lets_another_shape_be_tried() -> None:
    for reply, kind in ((fails(422), RefusedInputError), (fails(401), ModelError)):
        with (
            joint_endpoint(reply=lambda _, reply=reply: reply) as stub,
            pytest.raises(ModelError) as caught,
        ):
            backend(stub).encode([("red",)], "")
        assert type(caught.value) is kind


def test_vectors_may_come_as_base64() -> None:
    import base64

    packed = base64.b64encode(np.arange(1, 4, dtype="<f4").tobytes()).decode()
    content = json.dumps({"data": [{"embedding": packed}]}).encode()
    with joint_endpoint(reply=lambda _: (200, {}, content)) as stub:
        assert backend(stub).encode([("red",)], "")[0].tolist() == [1, 2, 3]


def test_numbers_beyond_any_float_are_told_as_infinite() -> None:
    content = b'{"data": [{"embedding": [1e300, -1e39, 1]}]}'
    with joint_endpoint(reply=lambda _: (200, {}, content)) as stub:
        (vector,) = backend(stub).encode([("red",)], "")
    assert np.isinf(vector[:2]).all()


def test_a_slow_and_a_missing_endpoint_are_told_apart() -> None:
    def late(_: int) -> None:
        slowly(0.4)

    told = r"no answer within 0.1 s .*--timeout.*4 times"
    with joint_endpoint(reply=late) as stub, pytest.raises(ModelError, match=told):
        backend(stub, timeout=0.1).encode([("red",)], "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = Stub(url=f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ModelError, match=r"cannot be reached .*4 times: is it running"):
            backend(gone).encode([("red",)], "")


def _in_a_variable(monkeypatch: pytest.MonkeyPatch, _folder: Path, key: str) -> dict[str, str]:
    monkeypatch.setenv("MY_KEY", key)
    return {"key_variable": "MY_KEY"}


def _in_a_file(_: pytest.MonkeyPatch, folder: Path, key: str) -> dict[str, str]:
    (folder / "key").write_text(f"{key}\n")
    return {"key_file": str(folder / "key")}


@pytest.mark.parametrize("kept", [_in_a_variable, _in_a_file])
def test_a_key_is_sent_and_shown_nowhere(
    kept: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with joint_endpoint(key="sk-secret") as stub:
        right = backend(stub, **kept(monkeypatch, tmp_path, "sk-secret"))
        assert len(right.encode([("red",)], "")) == 1
        wrong = backend(stub, **kept(monkeypatch, tmp_path, "sk-other"))
        stub.reply = lambda _: fails(401, "sk-other is wrong")
        with pytest.raises(ModelError, match=r"is the key in .* right") as caught:
            wrong.encode([("red",)], "")
    assert "sk-other" not in "".join(traceback.format_exception(caught.value))
    assert "*** is wrong" in str(caught.value)
    assert "sk-" not in repr(vars(right)["_endpoint"])


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"key_variable": "NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL should hold the key"),
        ({"key_file": "/nowhere/key"}, "/nowhere/key .*No such file"),
    ],
)
def test_a_missing_key_is_told_before_anything_is_sent(how: dict[str, str], told: str) -> None:
    with joint_endpoint() as stub, pytest.raises(ModelError, match=told):
        backend(stub, **how).encode([("red",)], "")
    assert stub.asked == []


def test_a_key_that_no_header_can_hold_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "two words\u2014")
    made = Endpoint(url="http://127.0.0.1:9/v1", model="m", shape="chat", key_variable="MY_KEY")
    with pytest.raises(ModelError, match="MY_KEY holds no key") as caught:
        read_key(made)
    assert "two" not in str(caught.value)


def test_proxies_are_not_asked_on_the_way_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with joint_endpoint() as stub:
        assert len(backend(stub).encode([("red",)], "")) == 1


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("http://127.0.0.1:8000/v1#a", True),
        ("http://127.4.5.6/v1#a", True),
        ("http://[::1]:8000/v1#a", True),
        ("http://localhost:8000/v1#a", True),
        ("http://localhost.example.org/v1#a", False),
        ("http://192.168.1.5:8000/v1#a", False),
        ("http://0.0.0.0:8000/v1#a", False),
        ("https://api.example.org/v1#a", False),
    ],
)
def test_this_machine_is_told_from_others(text: str, here: bool) -> None:
    assert parse_address(text).is_here is here


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://127.0.0.1:8000/v1", "which of the endpoint's models"),
        ("http://user:word@host/v1#a", "no user, password or query"),
        ("http://host/v1?key=word#a", "no user, password or query"),
        ("http:///v1#a", "no address"),
        ("http://host:99999999/v1#a", "no address"),
        ("http://h\u00f6st/v1#a", "no address"),
    ],
)
def test_what_is_no_address_is_refused_and_no_password_shown(text: str, told: str) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        parse_address(text)
    assert "word" not in str(caught.value).replace("password", "")


def test_the_whole_path_of_an_endpoint_will_do() -> None:
    whole = parse_address("http://127.0.0.1:8000/v1/embeddings/#a")
    assert whole == parse_address("http://127.0.0.1:8000/v1#a")
