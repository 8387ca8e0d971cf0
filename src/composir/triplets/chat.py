"""A small client of OpenAI-compatible `/chat/completions` endpoints, on the standard library.

Redirects are not followed, so that the key goes to no other host; proxies of the environment are
used. What passes is retried: refused or lost connections, timeouts, 408, 409, 425, 429, 5xx and
answers that are no JSON. `Retry-After` is honoured, and it holds back all threads.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

from composir.data.untrusted_json import decode_json
from composir.errors import ComposirError

_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_HOPELESS = frozenset({301, 302, 307, 308, 401, 403, 404, 405})
_MOST_BYTES = 4_000_000
_CHUNK = 65_536
_MOST_TOKENS = 10**9
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


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
        longest_wait: Seconds; an endpoint that asks for more makes the request fail.
    """

    base_url: str
    timeout: float = 60.0
    attempts: int = 5
    longest_wait: float = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        text: What the model said.
        tokens_in: As the endpoint counts them; 0 where it does not.
        tokens_out: Likewise.
    """

    text: str
    tokens_in: int
    tokens_out: int


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        """Let the 3xx through as an error."""


class ChatClient:
    """Sends requests, from any number of threads."""

    def __init__(
        self,
        settings: ChatSettings,
        key: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is sent.

        Args:
            settings: Where and how.
            key: Sent as bearer token where it is not empty; kept in memory alone.
            clock: Seconds, for tests.

        Raises:
            EndpointError: If the address is no http(s) address or holds a password, or if the
                key cannot be sent.
        """
        _check_address(settings.base_url)
        _check_key(key)
        self._settings = settings
        self._key = key
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json", "User-Agent": "composir"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = urllib.request.build_opener(_NoRedirects())
        self._clock = clock
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._not_before = 0.0
        self.sent = 0

    def stop(self) -> None:
        """Wake all who wait; they fail at once."""
        self._stopped.set()

    def ask(self, body: Mapping[str, Any]) -> Answer:
        """Send one request, again and again where that may help.

        Args:
            body: The request's JSON.

        Returns:
            The first choice's text.

        Raises:
            EndpointError: If no request of this kind can succeed (wrong address, wrong key).
            RefusedRequest: If this one cannot.
            NoAnswer: If none came in time.
        """
        data = json.dumps(body).encode("utf-8")
        reason = ""
        for attempt in range(self._settings.attempts):
            self._wait_for_turn()
            try:
                return self._once(data)
            except _TryAgain as failure:
                reason = str(failure)
                self._back_off(attempt, failure)
        raise NoAnswer(f"{self._url}: {reason}, {self._settings.attempts} times")

    def _wait_for_turn(self) -> None:
        while (left := self._not_before - self._clock()) > 0:
            if self._stopped.wait(min(left, 1.0)):
                break
        if self._stopped.is_set():
            raise NoAnswer("stopped")

    def _back_off(self, attempt: int, failure: _TryAgain) -> None:
        """Wait as long as the endpoint asks, else 0.5, 1, 2, ... seconds."""
        asked = failure.retry_after
        if asked is not None and asked > self._settings.longest_wait:
            raise NoAnswer(f"{self._url}: {failure}; it asks to wait {asked:,.0f} s")
        if attempt + 1 == self._settings.attempts:
            return
        if asked is not None:
            with self._lock:
                self._not_before = max(self._not_before, self._clock() + asked)
        else:
            self._stopped.wait(min(0.5 * 2**attempt, self._settings.longest_wait))

    def _once(self, data: bytes) -> Answer:
        with self._lock:
            self.sent += 1
        request = urllib.request.Request(self._url, data, self._headers, method="POST")
        deadline = self._clock() + self._settings.timeout
        try:
            with self._opener.open(request, timeout=self._settings.timeout) as response:
                content = self._read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise _judged(self._url, error, self._key) from error
        except (urllib.error.URLError, HTTPException, OSError) as error:
            why = getattr(error, "reason", None) or error
            raise _TryAgain(f"no connection ({why or type(error).__name__})") from error
        except ValueError as error:
            # Neither its words nor its traceback: such errors quote headers, and so the key.
            raise EndpointError(
                f"{self._url}: no request can be sent ({type(error).__name__}); look at "
                f"--base-url and at the variables of proxies, such as https_proxy"
            ) from None
        return _parsed(content)

    def _read(self, response: Any, deadline: float) -> bytes:
        """The whole body; one that drips in for ever is cut off at the deadline."""
        content = bytearray()
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > _MOST_BYTES:
                raise _TryAgain("an answer of more than 4 MB")
            if self._clock() > deadline or self._stopped.is_set():
                raise _TryAgain("an answer that does not end")
        return bytes(content)


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


class _TryAgain(Exception):  # noqa: N818
    """Something that may pass."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def _judged(url: str, error: urllib.error.HTTPError, key: str) -> Exception:
    """What an HTTP error means: wait, give this request up, or give up."""
    said = _said(error, key)
    if error.code in _PASSING:
        return _TryAgain(f"HTTP {error.code}", retry_after(error.headers))
    if error.code in _HOPELESS:
        hint = {401: "is the key right?", 403: "is the key right?", 404: "is the address right?"}
        return EndpointError(f"{url} answers {error.code} {said}; {hint.get(error.code, 'see it')}")
    return RefusedRequest(f"HTTP {error.code} {said}")


def _said(error: urllib.error.HTTPError, key: str) -> str:
    """The endpoint's own words, cut short, and without the key where it repeats that."""
    try:
        text = error.read(2_000).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return str(error.reason)
    try:
        inner = decode_json(text, lenient=True)["error"]
        text = str(inner.get("message", inner)) if isinstance(inner, dict) else str(inner)
    except (ValueError, KeyError, TypeError):
        pass
    text = text.replace(key, "***") if key else text
    return " ".join(text.split())[:200] or str(error.reason)


def retry_after(headers: Message[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` asks for, as a number or as a date; None without one."""
    value = (headers.get("Retry-After") or "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _parsed(content: bytes) -> Answer:
    try:
        document = decode_json(content.decode("utf-8-sig"), lenient=True)
        text = document["choices"][0]["message"]["content"]
        usage = document.get("usage") or {}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _TryAgain("an answer that is no chat completion") from error
    if not isinstance(text, str):
        raise _TryAgain("an answer without text")
    text = _LONE_SURROGATES.sub("\ufffd", text)  # half a character can neither be kept nor sent
    return Answer(text, _number(usage, "prompt_tokens"), _number(usage, "completion_tokens"))


def _number(usage: object, name: str) -> int:
    """A count of tokens; 0, which is "not told", for what cannot be one."""
    value = usage.get(name, 0) if isinstance(usage, dict) else 0
    return value if isinstance(value, int) and 0 < value <= _MOST_TOKENS else 0
