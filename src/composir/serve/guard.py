"""What every request passes before anything looks at it, and every answer on its way out.

Plain ASGI, so that limits hold while a body arrives and nothing is read into memory twice.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from hashlib import sha256
from secrets import token_bytes, token_hex
from threading import Event
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from composir.errors import ComposirError
from composir.serve.counters import Metrics
from composir.serve.http_problems import (
    BodyTooLargeError,
    BusyError,
    HostRefusedError,
    OriginRefusedError,
    SlowRequestError,
    UnauthorizedError,
    UnexpectedError,
    problem,
)
from composir.serve.settings import LOCAL_NAMES, ServeSettings, is_address

LOG = logging.getLogger("composir.serve")
SESSION = "composir_session"
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    # Threads of WebAssembly need a page that is isolated from all others.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Lets a request through, or answers it with a problem."""

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, metrics: Metrics, closing: Event
    ) -> None:
        """Stand before an application."""
        self.closing = closing
        self._app, self._settings, self._metrics = app, settings, metrics
        self._secret = token_bytes(32)
        self._requests = 0
        self._held = 0

    @property
    def session(self) -> str:
        """What the cookie of a browser that has shown its key holds; new at every start."""
        key = self._settings.api_key.encode()
        return hmac.new(self._secret, key, sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        self._requests += 1
        try:
            await self._guarded(scope, receive, answer)
        finally:
            self._requests -= 1
            self._tell(scope, answer)

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        body = _Body(self._settings, receive, self._hold)
        scope["state"] = {**scope.get("state", {}), "request_id": answer.request_id}
        try:
            self._check(scope)
            body.check_length(Headers(scope=scope))
            await self._app(scope, body, answer)
        except ComposirError as error:
            await answer.fail(error)
        except Exception:
            LOG.exception("request %s failed", answer.request_id)
            await answer.fail(UnexpectedError("the server failed; its log says more"))
        finally:
            self._held -= body.received

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = _check_host(headers, self._settings.names)
        _check_origin(headers, host, is_page=not scope["path"].startswith("/v1/"))
        if self._requests > self._settings.limits.requests:
            raise BusyError(f"{self._requests} requests at once: try again soon", 1)
        if self._needs_key(scope) and not self._knows_key(headers):
            raise UnauthorizedError(
                "this server asks for a key: send the header `Authorization: Bearer KEY`",
                {"WWW-Authenticate": "Bearer"},
            )

    def _needs_key(self, scope: Scope) -> bool:
        path = scope["path"]
        is_private = path.startswith("/v1/") or path in {"/metrics", "/openapi.json"}
        return bool(self._settings.api_key) and is_private

    def _knows_key(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        known = [self._settings.api_key, self._settings.local_key]
        cookie = _cookie(headers)
        # Every comparison is made, each in constant time.
        results = [_same(key, one) for one in known if one]
        return any([*results, _same(cookie, self.session)])

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._settings.limits.held:
            raise BusyError("too much is being sent at once: try again soon", 2)

    def _tell(self, scope: Scope, answer: _Answer) -> None:
        seconds = time.perf_counter() - answer.begun
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.answered(route, answer.status, seconds)
        # No query, no name of a file and no key is ever in the log.
        LOG.info(
            "%s %s %s %d %.0fms",
            answer.request_id,
            scope["method"],
            route,
            answer.status,
            1000 * seconds,
        )


class _Answer:
    """Sends an answer with the headers that every one has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = token_hex(8)
        self.begun = time.perf_counter()
        self.status = 0
        self._is_page = not scope["path"].startswith("/v1/")
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.request_id
            if not self._is_page:
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    async def fail(self, error: ComposirError) -> None:
        """Answer with a problem, unless an answer is under way."""
        if self.status:
            return
        status, headers, body = problem(error, self.request_id)
        raw = [(k.lower().encode(), v.encode("latin-1", "replace")) for k, v in headers.items()]
        raw += [(b"content-length", str(len(body)).encode())]
        await self({"type": "http.response.start", "status": status, "headers": raw})
        await self({"type": "http.response.body", "body": body})


class _Body:
    """A request's body, as long and as slow as it may be."""

    def __init__(
        self, settings: ServeSettings, receive: Receive, hold: Callable[[int], None]
    ) -> None:
        self._limits, self._receive, self._hold = settings.limits, receive, hold
        self._deadline = time.monotonic() + settings.limits.body_seconds
        self._is_whole = False
        self.received = 0

    def check_length(self, headers: Headers) -> None:
        """Refuse at once what says that it is too long."""
        said = headers.get("content-length", "")
        if said.isdecimal() and int(said) > self._limits.body:
            raise self._too_large()

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.received += size
            self._hold(size)
            if self.received > self._limits.body:
                raise self._too_large()
            self._is_whole = not message.get("more_body", False)
        return message

    async def _in_time(self) -> Message:
        # Not `wait_for`, which before Python 3.12 may lose that it is cancelled itself.
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                return await self._receive()
        except TimeoutError:
            seconds = self._limits.body_seconds
            raise SlowRequestError(f"the request did not arrive within {seconds:g} s") from None

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"a request may have {self._limits.body >> 20} MiB: send less")


def _check_host(headers: Headers, names: frozenset[str]) -> str:
    """The host that a request names.

    A page of another site whose name was turned to this machine's address (DNS rebinding) names
    its own; a number cannot be turned.
    """
    host = headers.get("host", "")
    name = _hostname(f"//{host}")
    if name and (name in LOCAL_NAMES or name in names or is_address(name)):
        return host.lower()
    raise HostRefusedError(f"this server is not {host[:200]!r}; allow a name with --allow-host")


def _check_origin(headers: Headers, host: str, *, is_page: bool) -> None:
    """Refuse what other sites send, or show as theirs, from a visitor's browser."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host:
        raise OriginRefusedError(f"requests from {origin[:200]!r} are refused")
    site = headers.get("sec-fetch-site", "none")
    if not is_page and site not in {"none", "same-origin"}:
        raise OriginRefusedError("requests from another site are refused")


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str:
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == SESSION:
            return value
    return ""


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
