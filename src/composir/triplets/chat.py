"""OpenAI-compatible `/chat/completions` endpoints, by the `openai` client (extra `writer`).

What the client would do beyond a request is turned off: redirects are not followed, so that the key
goes to no other host, and neither the platform nor anything of the environment is sent along. It
tries again what passes, and waits as `Retry-After` says, for two minutes at most.
"""

from __future__ import annotations

import re
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from composir.data.untrusted_json import decode_json
from composir.errors import ComposirError, MissingExtraError

if TYPE_CHECKING:
    from httpx2 import Request
    from openai import APIStatusError, OpenAI

_PASSING = frozenset({408, 409, 429})
_HOPELESS = frozenset({301, 302, 307, 308, 401, 403, 404, 405})
_HINTS = {401: "is the key right?", 403: "is the key right?", 404: "is the address right?"}
_MOST_BYTES = 4_000_000
_MOST_TOKENS = 10**9
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_SENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    | {"user-agent", "authorization", "x-stainless-raw-response"}  # the client reads the last again
)


class EndpointError(ComposirError):
    """The endpoint cannot be used as asked: it is pointless to go on."""

    code = "endpoint"


class RefusedRequest(ComposirError):  # noqa: N818 - it is one request that is lost, not the run
    """The endpoint refused this one request, for good."""

    code = "endpoint-refused"


class NoAnswer(ComposirError):  # noqa: N818
    """One request got no answer in all its attempts; the endpoint is down, slow or overrun."""

    code = "endpoint-silent"


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How to talk to the endpoint.

    Attributes:
        base_url: E.g. `http://localhost:8000/v1`.
        timeout: Seconds for one whole answer.
        attempts: Most times that a request is sent.
    """

    base_url: str
    timeout: float = 60.0
    attempts: int = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and tokens as the endpoint counts them; 0 where it does not."""

    text: str
    tokens_in: int
    tokens_out: int


class ChatClient:
    """Sends requests, from any number of threads."""

    def __init__(self, settings: ChatSettings, key: str = "") -> None:
        _check_address(settings.base_url)
        _check_key(key)
        self._settings = settings
        self._key = key
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._client = _open(settings, key)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Send nothing more; what is asked from now on fails at once."""
        self._stopped.set()

    def ask(self, body: Mapping[str, Any]) -> Answer:
        """Send one request, again and again where that may help."""
        reason = ""
        for _ in range(self._settings.attempts):
            if self._stopped.is_set():
                raise NoAnswer("stopped")
            try:
                return _parsed(self._once(body))
            except _UselessAnswer as failure:
                reason = str(failure)
        raise NoAnswer(f"{self._url}: {reason}, {self._settings.attempts} times")

    def _once(self, body: Mapping[str, Any]) -> bytes:
        """One answer's bytes; its errors are not chained: some quote headers, and so the key."""
        from httpx2 import TransportError
        from openai import APIConnectionError, APIStatusError, omit

        send: Any = self._client.chat.completions.with_streaming_response.create
        named = {name: body.get(name, omit) for name in ("model", "messages")}
        try:
            with send(**named, extra_body=body) as response:
                return self._read(response.iter_bytes())
        except APIStatusError as error:
            raise self._judged(error) from None
        except APIConnectionError as error:
            why = _cause(error)
            raise NoAnswer(
                f"{self._url}: no connection ({why}), {self._settings.attempts} times"
            ) from None
        except TransportError as error:
            raise _UselessAnswer(f"an answer that breaks off ({type(error).__name__})") from None
        except (ValueError, TypeError) as error:
            raise EndpointError(
                f"{self._url}: no request can be sent ({type(error).__name__}); look at "
                f"--base-url and at the variables of proxies, such as https_proxy"
            ) from None

    def _read(self, parts: Iterator[bytes]) -> bytes:
        """The whole body; one that drips in for ever is cut off at the deadline."""
        deadline = time.monotonic() + self._settings.timeout
        content = bytearray()
        for part in parts:
            content += part
            if len(content) > _MOST_BYTES:
                raise _UselessAnswer("an answer of more than 4 MB")
            if time.monotonic() > deadline or self._stopped.is_set():
                raise _UselessAnswer("an answer that does not end")
        return bytes(content)

    def _judged(self, error: APIStatusError) -> ComposirError:
        """What an HTTP error means for the run: one answer less, one request less, or its end."""
        code = error.status_code
        if code in _PASSING or code >= 500:
            asked = error.response.headers.get("Retry-After")
            waits = f"; it asks to wait {asked} s" if asked else ""
            return NoAnswer(f"{self._url}: HTTP {code}{waits}, {self._settings.attempts} times")
        said = _said(error, self._key)
        if code in _HOPELESS:
            return EndpointError(f"{self._url} answers {code} {said}; {_HINTS.get(code, 'see it')}")
        return RefusedRequest(f"HTTP {code} {said}")


class _UselessAnswer(Exception):  # noqa: N818
    """An answer that is none; the next may be one."""


def _open(settings: ChatSettings, key: str) -> OpenAI:
    try:
        from openai import DefaultHttpxClient, OpenAI
    except ModuleNotFoundError as error:
        raise MissingExtraError("openai", "writer") from error

    def trim(request: Request) -> None:
        """Nothing of what the client and the environment add travels."""
        for name in {*request.headers} - (_SENT if key else _SENT - {"authorization"}):
            del request.headers[name]

    return OpenAI(
        base_url=settings.base_url,
        api_key=key or "none",
        timeout=settings.timeout,
        max_retries=settings.attempts - 1,
        default_headers={"User-Agent": "composir"},
        http_client=DefaultHttpxClient(
            follow_redirects=False, timeout=settings.timeout, event_hooks={"request": [trim]}
        ),
    )


def _check_address(url: str) -> None:
    """Refuse what cannot be an endpoint's address; one that may hold a password is not shown."""
    if any(mark in url for mark in "@?#"):
        raise EndpointError(
            "--base-url must hold no user, password, query or '#'; the key comes from a variable"
        )
    if not all("!" <= letter <= "~" for letter in url):
        raise EndpointError(
            f"--base-url {url!r}: only ASCII without blanks can be sent; write a host of other "
            f"letters in its xn-- form, and other letters of the path as %-escapes"
        )
    if not _is_http(url):
        raise EndpointError(f"--base-url {url!r}: write it like http://localhost:8000/v1")


def _is_http(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # refuses labels that no name server takes
        return parts.scheme in {"http", "https"} and bool(host) and parts.port != 0
    except ValueError:
        return False


def _check_key(key: str) -> None:
    """Refuse a key that no header can hold, without showing it."""
    if not all(" " <= letter <= "~" for letter in key):
        raise EndpointError(
            "the endpoint's key holds characters other than printable ASCII, such as a line end "
            "or a long dash; copy it again into its environment variable (see --key-variable)"
        )


def _cause(error: BaseException) -> str:
    """Why there is no connection, in the words of the system."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _said(error: APIStatusError, key: str) -> str:
    """The endpoint's own words, cut short, and without the key where it repeats that."""
    said = error.body
    text = str(said.get("message", said)) if isinstance(said, dict) else str(said or "")
    text = text.replace(key, "***") if key else text
    return " ".join(text.split())[:200] or error.response.reason_phrase


def _parsed(content: bytes) -> Answer:
    try:
        document = decode_json(content.decode("utf-8-sig"), lenient=True)
        text = document["choices"][0]["message"]["content"]
        usage = document.get("usage") or {}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _UselessAnswer("an answer that is no chat completion") from error
    if not isinstance(text, str):
        raise _UselessAnswer("an answer without text")
    text = _LONE_SURROGATES.sub("\ufffd", text)  # half a character can neither be kept nor sent
    return Answer(text, _number(usage, "prompt_tokens"), _number(usage, "completion_tokens"))


def _number(usage: object, name: str) -> int:
    """A count of tokens; 0, which is "not told", for what cannot be one."""
    value = usage.get(name, 0) if isinstance(usage, dict) else 0
    return value if isinstance(value, int) and 0 < value <= _MOST_TOKENS else 0
