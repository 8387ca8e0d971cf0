"""Reader, decode threads, model and writer side by side, with bounded queues between them.

```
places -> [reader] -> files -> [decoders] -> decoded -> [model] -> encoded -> [writer]
```
Each stage runs in its own thread; the calling thread only watches, so that Ctrl-C can never hit a
commit. On Ctrl-C, or when any stage but the writer fails, what has been encoded is still
committed; when the writer itself fails, everything stops where it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Condition, Event, Lock, Thread
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from composir.gallery.progress import SECONDS_BETWEEN_CALLS
from composir.gallery.reader import KnownPicture, NewPicture, ReadFile, Unreadable
from composir.gallery.rows import Place
from composir.images.bounds import stoppable
from composir.types import FloatArray, PixelArray

T = TypeVar("T")
_FILES_WAITING = 64
_BATCHES_WAITING = 2
_SECONDS_A_WRITER_SLEEPS = 1.0


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


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Some new pictures with their vectors, (n, D) float32."""

    files: tuple[NewPicture, ...]
    vectors: FloatArray


Written: TypeAlias = EncodedBatch | KnownPicture | Unreadable


class Writer(Protocol):
    """What takes the results."""

    def add(self, item: Written) -> None:
        """Take one result; may commit."""

    def commit_if_due(self) -> None:
        """Commit if the last commit was long ago."""

    def commit(self) -> None:
        """Commit everything that is held."""


class Pipeline:
    """One run from places to committed rows."""

    def __init__(
        self,
        read: Callable[[Place], ReadFile],
        encode: Callable[[PixelArray], FloatArray],
        writer: Writer,
        *,
        batch_size: int,
        decoders: int,
    ) -> None:
        """Connect the stages.

        `read` is called from `decoders` threads; `encode` makes of (n, size, size, 3) uint8, with n
        at most `batch_size`, (n, D) float32, in one thread; and in one more there is the writer.
        """
        self._read, self._encode, self._writer = read, encode, writer
        self._batch_size = batch_size
        self._files: Channel[Place] = Channel(_FILES_WAITING)
        self._decoded: Channel[ReadFile] = Channel(_BATCHES_WAITING * batch_size, writers=decoders)
        self._encoded: Channel[Written] = Channel(_BATCHES_WAITING * batch_size)
        self._decoders = decoders
        self._done, self._stopping = Event(), Event()
        self._lock = Lock()
        self._error: BaseException | None = None

    def run(self, places: Iterable[Place], watch: Callable[[], None]) -> None:
        """Run to the end."""
        threads = self._start(places)
        try:
            while not self._done.wait(SECONDS_BETWEEN_CALLS):
                watch()
        except BaseException:
            self._stop()
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error

    def _start(self, places: Iterable[Place]) -> Sequence[Thread]:
        work: list[Callable[[], None]] = [
            lambda: self._read_places(places),
            *[self._decode_files] * self._decoders,
            self._encode_batches,
            self._write,
        ]
        threads = [Thread(target=self._guarded, args=(stage,), daemon=True) for stage in work]
        for thread in threads:
            thread.start()
        return threads

    def _guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._stop()

    def _stop(self) -> None:
        self._files.cut()
        self._decoded.cut()
        self._stopping.set()  # last: what decoders give up now must not count as failures

    def _read_places(self, places: Iterable[Place]) -> None:
        try:
            for place in places:
                if not self._files.put(place):
                    return
        finally:
            self._files.finish()

    def _decode_files(self) -> None:
        try:
            with stoppable(self._stopping):
                while (place := _next(self._files)) is not None:
                    if not self._decoded.put(self._read(place)):
                        return
        finally:
            self._decoded.finish()

    def _encode_batches(self) -> None:
        waiting: list[NewPicture] = []
        try:
            while (item := _next(self._decoded)) is not None:
                if not isinstance(item, NewPicture):
                    self._encoded.put(item)
                    continue
                waiting.append(item)
                if len(waiting) == self._batch_size:
                    self._encode_batch(waiting)
                    waiting = []
            if waiting:
                self._encode_batch(waiting)
        finally:
            self._encoded.finish()

    def _encode_batch(self, files: list[NewPicture]) -> None:
        vectors = self._encode(np.stack([file.pixels for file in files]))
        self._encoded.put(EncodedBatch(tuple(files), vectors))

    def _write(self) -> None:
        try:
            while True:
                item = self._encoded.get(_SECONDS_A_WRITER_SLEEPS)
                if item is not None:
                    self._writer.add(item)
                self._writer.commit_if_due()
        except Finished:
            self._writer.commit()
        finally:
            self._encoded.cut()
            self._done.set()


def _next(channel: Channel[T]) -> T | None:
    try:
        return channel.get()
    except Finished:
        return None
