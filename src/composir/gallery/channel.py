"""A bounded queue between two stages of the pipeline that can be finished or cut off."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Finished(Exception):  # noqa: N818 - the end of a stream is no error
    """No more items will come."""


class Channel(Generic[T]):
    """A queue of at most `capacity` items; `put` and `get` sleep rather than poll."""

    def __init__(self, capacity: int, writers: int = 1) -> None:
        """Make a channel that is finished once `writers` have called `finish`."""
        self._capacity = capacity
        self._writers = writers
        self._items: deque[T] = deque()
        self._cut = False
        self._changed = Condition()

    def put(self, item: T) -> bool:
        """Add an item, waiting for room; False (and nothing added) once the channel is cut."""
        with self._changed:
            self._changed.wait_for(lambda: self._cut or len(self._items) < self._capacity)
            if self._cut:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """Take an item; None when `timeout` seconds pass without one."""
        with self._changed:
            if not self._changed.wait_for(self._ready, timeout):
                return None
            if not self._items:
                raise Finished
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def finish(self) -> None:
        """Say that one writer will put nothing more."""
        with self._changed:
            self._writers -= 1
            self._changed.notify_all()

    def cut(self) -> None:
        """Throw away what is queued and release everyone who waits."""
        with self._changed:
            self._cut = True
            self._items.clear()
            self._changed.notify_all()

    def _ready(self) -> bool:
        return bool(self._items) or self._cut or self._writers <= 0
