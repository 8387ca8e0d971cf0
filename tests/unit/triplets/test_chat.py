"""The client against a real server on loopback."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import pytest

from composir.triplets.chat import (
    ChatClient,
    ChatSettings,
    EndpointError,
    NoAnswer,
    RefusedRequest,
    retry_after,
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
        client(stub, longest_wait=10.0).ask(BODY)
    assert len(stub.bodies) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2.5", 2.5),
        ("-1", 0.0),
        ("", None),
        ("soon", None),
        ("Sat, 21 Nov 2026 06:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 05:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    headers = Message()
    headers["Retry-After"] = value
    assert retry_after(headers, datetime(2026, 11, 21, 6, tzinfo=UTC)) == seconds


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
    "url", ["localhost:8000", "ftp://host/v1", "http://", "https://me:pw@host/v1", "http://h/?k=1"]
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(EndpointError, match="--base-url"):
        ChatClient(ChatSettings(url))
