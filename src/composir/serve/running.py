"""Running a server: its socket, its signals, its end, and an end to what arrives too slowly."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

import h11
import uvicorn
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from composir.data.announced import RunningServer, announced
from composir.errors import ComposirError
from composir.serve.guard import Guard
from composir.serve.http_problems import InvalidRequestError, SlowRequestError, problem
from composir.serve.settings import ServeError, ServeSettings

_GRACE_SECONDS = 10
_KEEP_ALIVE_SECONDS = 15
_BACKLOG = 2048
_HEAD_BYTES = 32 << 10
_ANY = frozenset({"0.0.0.0", "::"})


class Server(uvicorn.Server):
    """A server whose streams end when it is told to."""

    def __init__(self, app: Guard, settings: ServeSettings) -> None:
        """Prepare; nothing listens yet."""
        self._closing = app.closing
        super().__init__(
            uvicorn.Config(
                app,
                http=timed_protocol(settings.limits.header_seconds),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                h11_max_incomplete_event_size=_HEAD_BYTES,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests, answer those that are here, end."""
        self._closing.set()
        super().handle_exit(sig, frame)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; numpy's products take one thread each meanwhile.

        Their threads wait busily after each product, and take the cores from other queries.
        """
        with threadpool_limits(1, user_api="blas"):
            super().run(sockets)

    def stop(self) -> None:
        """As a signal does, from another thread."""
        self._closing.set()
        self.should_exit = True


def listen(settings: ServeSettings) -> socket.socket:
    """The socket of a server."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        opened = socket.create_server(
            (settings.host, settings.port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        raise ServeError(
            f"cannot listen at {settings.host}:{settings.port}: {error.strerror or error}; choose "
            "another port with --port (0 for any that is free)"
        ) from error
    # An answer is two writes, and the second must not wait 40 ms for the first's acknowledgement.
    # Connections take this over; asyncio sets it only where it made the socket itself.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def serve(app: Guard, gallery: Path, settings: ServeSettings, opened: socket.socket) -> None:
    """Serve until a signal comes."""
    _log()
    port = int(opened.getsockname()[1])
    told: AbstractContextManager[None] = nullcontext()
    if settings.local_key and (settings.is_local or settings.host in _ANY):
        told = announced(gallery, RunningServer(port, settings.local_key))
    server = Server(app, settings)
    with opened, told:
        server.run(sockets=[opened])
    if not server.started:
        raise ServeError("the server could not start; the lines above say why")


def _log() -> None:
    """Lines of the log go to stderr, with nothing in them that anyone searched for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("composir.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


_LINGER_SECONDS = 1.0


class TimedProtocol(H11Protocol):
    """One connection.

    Attributes:
        header_seconds: For the head of each request to arrive; subclasses say.
    """

    header_seconds: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, but not for ever."""
        super().connection_made(transport)
        self._restart()

    def data_received(self, data: bytes) -> None:
        """Read on; whoever is amid a head keeps the time of its first byte."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._timer is None:
            self._restart()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Who still sends a body that was refused may finish, but not for ever."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(_LINGER_SECONDS, self._end_if_still_sending, self.cycle)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets a problem, too."""
        self._refuse(InvalidRequestError(msg))

    def _end_if_still_sending(self, cycle: RequestResponseCycle) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.close()

    def _restart(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self.header_seconds, self._too_slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            seconds = self.header_seconds
            self._refuse(SlowRequestError(f"no request arrived within {seconds:g} s"))

    def _refuse(self, error: ComposirError) -> None:
        status, headers, body = problem(error, "-")
        headers |= {"Content-Length": str(len(body)), "Connection": "close"}
        head = f"HTTP/1.1 {status} {error.code}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(head.encode("latin-1") + b"\r\n" + body)
        self.transport.close()


def timed_protocol(header_seconds: float) -> type[H11Protocol]:
    """The protocol for one server.

    Args:
        header_seconds: For the head of each request to arrive.
    """
    return type("ServerProtocol", (TimedProtocol,), {"header_seconds": header_seconds})
