"""How much memory and time reading pictures may take, and the waiting for both.

One budget of memory serves all threads of a process: each reserves what its picture may need at
worst before it decodes, and waits for its turn where that does not fit beside the others. Time is
counted for each picture from when its decoder starts.
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Event, local
from typing import Any

from composir.errors import ImageReadError, ImageTooSlowError

MAX_PIXELS = 1 << 27
"""Pixels that may be decoded at once; Pillow holds them in half a gigabyte."""

MEMORY = 832 << 20
"""Bytes for all pictures that are decoded at the same time: with the program itself, a gigabyte."""

SECONDS = 10.0
"""Longest decoding of one picture."""

POLL_SECONDS = 0.1
"""How long a wait may be deaf: to a thread's `stoppable` event and, on Windows, to Ctrl-C."""

_stop = local()


@contextmanager
def stoppable(event: Event) -> Iterator[None]:
    """Give up reading pictures in this thread as soon as an event is set."""
    before = getattr(_stop, "event", None)
    _stop.event = event
    try:
        yield
    finally:
        _stop.event = before


def check_stopped() -> None:
    """Give up if this thread is to stop."""
    event: Event | None = getattr(_stop, "event", None)
    if event is not None and event.is_set():
        raise ImageReadError("reading was stopped")


class Deadline:
    """The end of one picture's time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that remain; 0 once it has passed."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Give up if the time is over or this thread is to stop."""
        check_stopped()
        if not self.left:
            raise ImageTooSlowError(f"takes longer than {self.seconds:g} seconds to decode")


class TimedStream(io.BufferedIOBase):
    """A stream whose every read looks at a deadline.

    Pillow parses headers, and decodes some formats, in Python loops that a file can make endless;
    all of them read as they go.
    """

    def __init__(self, stream: Any, deadline: Deadline) -> None:
        """Wrap a seekable binary stream; closing this one leaves it open."""
        super().__init__()
        self._stream = stream
        self.deadline = deadline

    def __getattr__(self, name: str) -> Any:
        if name == "getvalue":  # all of a file without a copy: libtiff is given it where it exists
            return self._stream.getvalue
        raise AttributeError(name)

    def read(self, size: int | None = -1) -> bytes:
        """Read as the stream does."""
        self.deadline.check()
        content: bytes = self._stream.read(size)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek as the stream does."""
        place: int = self._stream.seek(offset, whence)
        return place

    def tell(self) -> int:
        """Where the stream is."""
        place: int = self._stream.tell()
        return place

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The number of the file beneath, where there is one."""
        number: int = self._stream.fileno()
        return number


class MemoryBudget:
    """Bytes that threads share, first come, first served."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._turn: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Hold some of the bytes, once they are free."""
        size = min(size, self._total)
        ticket = object()
        with self._changed:
            self._turn.append(ticket)
            try:
                while self._turn[0] is not ticket or self._free < size:
                    check_stopped()
                    self._changed.wait(POLL_SECONDS)
                self._free -= size
            finally:
                self._turn.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


BUDGET = MemoryBudget(MEMORY)
"""What all threads of this process decode in."""
