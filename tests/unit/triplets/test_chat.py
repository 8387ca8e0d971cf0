"""The client against a real server on loopback."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
import traceback
from typing import Any

import pytest

from composir.errors import MissingExtraError
from composir.triplets.chat import (
    ChatClient,
    ChatSettings,
    EndpointError,
    NoAnswer,
    RefusedRequest,
)
from tests.unit.triplets.endpoint import Reply, Stub, endpoint, fails, says

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def client(stub: Stub | str, key: str = "", **settings: Any) -> ChatClient:
    url = stub if isinstance(stub, str) else stub.url
    return ChatClient(ChatSettings(url, **{"timeout": 5.0, "attempts": 3, **settings}), key)


def in_turn(*replies: Reply) -> Any:
    """The given replies, the last one for ever."""
    return lambda number, _body: replies[min(number, len(replies) - 1)]


def test_an_answer_with_its_tokens() -> None:
    with endpoint(in_turn(says("in blue"))) as stub:
        answer = client(stub).ask(BODY)
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("in blue", 100, 5)
    assert stub.bodies == [BODY]
    assert stub.keys == [None]


def test_the_key_travels_as_a_bearer_token_and_is_in_no_message() -> None:
    with (
        endpoint(in_turn(fails(401, "bad key"))) as stub,
        pytest.raises(EndpointError, match="answers 401 bad key; is the key right") as caught,
    ):
        client(stub, "sk-secret").ask(BODY)
    assert stub.keys == ["Bearer sk-secret"]
    assert "secret" not in str(caught.value)


def test_nothing_of_the_machine_or_the_environment_travels_and_no_log_holds_the_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-mine")
    caplog.set_level(logging.DEBUG)
    with endpoint(in_turn(says("in blue"))) as stub:
        client(stub).ask(BODY)
        client(stub, "sk-secret").ask(BODY)
    usual = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    usual |= {"x-stainless-raw-response"}  # a constant: how the answer is read
    assert stub.headers[0] - usual == {"user-agent"}
    assert stub.headers[1] - usual == {"user-agent", "authorization"}
    assert "sk-" not in caplog.text


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"composir\[writer\]"):
        client("http://localhost:8000/v1")


def test_what_passes_is_tried_again() -> None:
    with endpoint(in_turn(fails(503), (200, {}, b"<html>busy</html>"), says("in blue"))) as stub:
        assert client(stub).ask(BODY).text == "in blue"
    assert len(stub.bodies) == 3


def test_retry_after_is_honoured() -> None:
    with endpoint(in_turn(fails(429, Retry_After="0.6"), says("in blue"))) as stub:
        assert client(stub).ask(BODY).text == "in blue"
    assert stub.times[1] - stub.times[0] >= 0.55


def test_who_asks_to_wait_too_long_gets_no_more_requests() -> None:
    with (
        endpoint(in_turn(fails(429, Retry_After="900"))) as stub,
        pytest.raises(NoAnswer, match="HTTP 429; it asks to wait 900 s"),
    ):
        client(stub).ask(BODY)
    assert len(stub.bodies) == 1


def test_one_bad_request_is_refused_at_once() -> None:
    with (
        endpoint(in_turn(fails(400, "content policy"))) as stub,
        pytest.raises(RefusedRequest, match="HTTP 400 content policy"),
    ):
        client(stub).ask(BODY)
    assert len(stub.bodies) == 1


def test_a_wrong_address_ends_it() -> None:
    with (
        endpoint(in_turn(says("x"))) as stub,
        pytest.raises(EndpointError, match="answers 404 not found; is the address right"),
    ):
        client(stub.url + "/v2").ask(BODY)


def test_an_endpoint_that_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NoAnswer, match=r"no connection .*, 2 times"):
        client(f"http://127.0.0.1:{port}/v1", attempts=2).ask(BODY)


def test_an_endpoint_that_is_slow() -> None:
    def slow(_number: int, _body: dict[str, Any]) -> Reply:
        time.sleep(1.0)
        return says("too late")

    with endpoint(slow) as stub, pytest.raises(NoAnswer, match="no connection"):
        client(stub, timeout=0.2, attempts=2).ask(BODY)


def test_an_answer_that_drips_for_ever_is_cut_off() -> None:
    with (
        endpoint(in_turn(says("in blue")), drip_seconds=0.2) as stub,
        pytest.raises(NoAnswer, match="an answer that does not end"),
    ):
        client(stub, timeout=0.5, attempts=1).ask(BODY)


@pytest.mark.parametrize(
    "content",
    [b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"\xff"],
)
def test_answers_that_are_no_chat_completion(content: bytes) -> None:
    with (
        endpoint(in_turn((200, {}, content))) as stub,
        pytest.raises(NoAnswer, match=r"an answer (that is no chat completion|without text)"),
    ):
        client(stub, attempts=1).ask(BODY)


def test_redirects_are_not_followed_so_that_the_key_stays() -> None:
    with endpoint(in_turn(says("elsewhere"))) as other:
        reply = (307, {"Location": other.url + "/chat/completions"}, b"")
        with endpoint(in_turn(reply)) as stub, pytest.raises(EndpointError, match="answers 307"):
            client(stub, "sk-secret").ask(BODY)
    assert other.bodies == []


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://h/?k=1",
        "http://h/v1#part",
        "http://[bad/v1",
        "http://h:99999/v1",
        "http://h:port/v1",
        f"http://{'a' * 64}/v1",
        "http://a..b/v1",
        "http://h/v 1",
        "http://h/v1\n",
        "http://h\u00f6st/v1",
        "http://h/\udce9",
    ],
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(EndpointError, match="--base-url"):
        ChatClient(ChatSettings(url))


@pytest.mark.parametrize("url", ["https://me:pw-9@host/v1", "ftp://me:pw-9@host", "me:pw-9@host"])
def test_an_address_with_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(EndpointError, match="--base-url must hold no user") as caught:
        ChatClient(ChatSettings(url))
    assert "pw-9" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1]:8000/v1", "https://api.example.org", "http://h./v1"])
def test_good_addresses(url: str) -> None:
    ChatClient(ChatSettings(url))


@pytest.mark.parametrize("key", ["sk-SECRET\nx", "sk\u2013SECRET", "SECRET\udce9", "\x7fSECRET"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(EndpointError, match=r"printable ASCII.*--key-variable") as caught:
        ChatClient(ChatSettings("http://localhost:8000/v1"), key)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_an_endpoint_that_repeats_the_key_is_quoted_without_it() -> None:
    with (
        endpoint(in_turn(fails(401, f"{'x' * 190} sk-secret is no key"))) as stub,
        pytest.raises(EndpointError, match=r"answers 401 x+ \*\*\* is") as caught,
    ):
        client(stub, "sk-secret").ask(BODY)
    assert "sk-" not in str(caught.value)


def test_a_request_that_python_refuses_to_build_shows_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat = client("http://localhost:8000/v1", "sk-SECRET")

    def refuse(request: Any, **_named: Any) -> None:
        raise ValueError(f"Invalid header value {dict(request.headers)!r}")

    monkeypatch.setattr(chat._client._client, "send", refuse)
    with pytest.raises(EndpointError, match=r"no request can be sent \(ValueError\)") as caught:
        chat.ask(BODY)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_half_a_character_is_replaced() -> None:
    with endpoint(in_turn(says("green \ud83d, \ude00 \U0001f600"))) as stub:
        answer = client(stub).ask(BODY)
    assert answer.text == "green \ufffd, \ufffd \U0001f600"


@pytest.mark.parametrize("count", [10**30, 2**63, -5, "many", None, 1.5])
def test_counts_that_cannot_be_are_not_believed(count: object) -> None:
    document = {"choices": [{"message": {"content": "in blue"}}], "usage": {"prompt_tokens": count}}
    with endpoint(in_turn((200, {}, json.dumps(document).encode()))) as stub:
        answer = client(stub).ask(BODY)
    assert (answer.text, answer.tokens_in) == ("in blue", 0)


def test_a_deeply_nested_answer_is_asked_for_again() -> None:
    with endpoint(in_turn((200, {}, b"[" * 200_000), says("in blue"))) as stub:
        assert client(stub).ask(BODY).text == "in blue"
    assert len(stub.bodies) == 2


def test_a_deeply_nested_refusal_is_a_refusal() -> None:
    with (
        endpoint(in_turn((400, {}, b"[" * 200_000))) as stub,
        pytest.raises(RefusedRequest, match=r"HTTP 400 \[{200}$"),
    ):
        client(stub).ask(BODY)
