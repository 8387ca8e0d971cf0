"""Running a server: its socket, its signals, its end."""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from composir.data.announced import RunningServer, announced
from composir.serve.connection import timed_protocol
from composir.serve.guard import Guard
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
