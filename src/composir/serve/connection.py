"""HTTP/1.1 on a connection, by uvicorn, with an end to what arrives too slowly or not at all."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from composir.errors import ComposirError
from composir.serve.http_problems import InvalidRequestError, SlowRequestError, problem

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
