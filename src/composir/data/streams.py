"""Reading what may never end: pipes and connections, capped in bytes and in seconds."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Protocol, TypeVar

from composir.errors import ComposirError

T = TypeVar("T")
_CHUNK = 1 << 20
_SECONDS_A_LOOK = 0.2  # waiting in short slices, so that Ctrl-C is heard on every system


class UnreadableStreamError(ComposirError):
    """A pipe or a connection that gave no usable bytes; the message is the reason alone."""

    code = "unreadable-stream"


class Readable(Protocol):
    """Whatever gives bytes."""

    def read(self, size: int, /) -> bytes | None:
        """At most so many bytes; none at the end."""


def read_at_most(stream: Readable, limit: int) -> bytes:
    """Read to the end."""
    parts: list[bytes] = []
    left = limit + 1
    while left > 0 and (part := stream.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise UnreadableStreamError(too_large(limit))
    return b"".join(parts)


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do something that may wait for others for ever, and give up in time.

    Args:
        seconds: How long to wait for it.
        work: What to do, in a thread of its own; one that is given up dies with the process.
    """
    done, outcome = Event(), dict[str, Any]()

    def run() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:
            outcome["error"] = error
        finally:
            done.set()

    Thread(target=run, daemon=True, name="composir-waiting").start()
    waited = 0.0
    while not done.wait(min(_SECONDS_A_LOOK, seconds)):
        waited += min(_SECONDS_A_LOOK, seconds)
        if waited >= seconds:
            raise UnreadableStreamError(f"nothing more came for it within {seconds:g} seconds")
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


def too_large(limit: int) -> str:
    """The reason why more than so many bytes are refused."""
    return f"it is larger than {limit >> 20} MB" if limit >> 20 else f"it is over {limit} bytes"
