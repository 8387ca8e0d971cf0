"""What the gallery knows already, in 25 bytes an image, so that a million files fit in memory."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from composir.gallery.store import Store

_PENDING = 65_536
_MASK = 2**64 - 1
_SIZE_FACTOR = 0x9E3779B97F4A7C15  # odd constants: sums of products mix size and time well


class ContentSet:
    """A growing set of 64-bit keys: a sorted array and a small overlay; safe among threads."""

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        """Start with these keys, in any order."""
        self._sorted = np.unique(keys)
        self._pending: set[int] = set()
        self._lock = Lock()

    def __contains__(self, key: int) -> bool:
        """Whether the key was there at the start or has been added."""
        with self._lock:
            return self._has(key)

    def add(self, key: int) -> bool:
        """Add a key; False if it was there already."""
        with self._lock:
            if self._has(key):
                return False
            self._pending.add(key)
            if len(self._pending) >= _PENDING:
                fresh = np.fromiter(self._pending, dtype=np.uint64, count=len(self._pending))
                self._sorted = np.unique(np.concatenate([self._sorted, fresh]))
                self._pending = set()
            return True

    def _has(self, key: int) -> bool:
        return key in self._pending or _find(self._sorted, key) is not None


class KnownFiles:
    """Ids and stat signatures of all rows, and which of them were found on disk again."""

    def __init__(self, store: Store) -> None:
        """Read the ids, sizes and times of all rows of a store."""
        ids: list[NDArray[np.uint64]] = []
        stats: list[NDArray[np.uint64]] = []
        contents: list[NDArray[np.uint64]] = []
        for batch in store.stream(["id", "size", "modified", "content_hash"]):
            ids.append(_keys(batch["id"].to_pylist()))
            contents.append(_keys(batch["content_hash"].to_pylist()))
            size = batch["size"].to_numpy().astype(np.uint64)
            modified = batch["modified"].cast("int64").to_numpy().astype(np.uint64)
            stats.append(_signatures(size, modified))
        nothing = np.empty(0, dtype=np.uint64)
        unsorted = np.concatenate([nothing, *ids])
        order = np.argsort(unsorted)
        self._ids = unsorted[order]
        self._stats = np.concatenate([nothing, *stats])[order]
        self._seen = np.zeros(len(order), dtype=bool)
        self.contents = ContentSet(np.concatenate([nothing, *contents]))

    def __len__(self) -> int:
        """Number of rows at the start of the run."""
        return len(self._ids)

    def has(self, image_id: str) -> bool:
        """Whether the gallery has a row of this id."""
        return _find(self._ids, int(image_id, 16)) is not None

    def is_unchanged(self, image_id: str, size: int, mtime_ns: int) -> bool:
        """Whether a row of this id was made from a file of the same size and time."""
        index = _find(self._ids, int(image_id, 16))
        return index is not None and int(self._stats[index]) == stat_signature(size, mtime_ns)

    def mark(self, image_id: str, *, seen: bool) -> None:
        """Note that the row's file was found, or that the row must go after all."""
        index = _find(self._ids, int(image_id, 16))
        if index is not None:
            self._seen[index] = seen

    def is_gone(self, image_id: str) -> bool:
        """Whether the gallery has a row of this id whose file was not found (so far)."""
        index = _find(self._ids, int(image_id, 16))
        return index is not None and not self._seen[index]

    def unseen(self) -> ContentSet:
        """Keys of the rows whose files were not found."""
        return ContentSet(self._ids[~self._seen])

    def all_seen(self) -> bool:
        """Whether every row's file was found."""
        return bool(self._seen.all())


def content_key(content_hash: str) -> int:
    """The 64 bits of a content hash that sets are made of."""
    return int(content_hash[:16], 16)


def stat_signature(size: int, mtime_ns: int) -> int:
    """64 bits that differ when size or time differ."""
    return (size * _SIZE_FACTOR + mtime_ns) & _MASK


def _signatures(size: NDArray[np.uint64], modified: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return size * np.uint64(_SIZE_FACTOR) + modified


def _keys(hexadecimal: list[str]) -> NDArray[np.uint64]:
    return np.fromiter((int(text[:16], 16) for text in hexadecimal), dtype=np.uint64)


def _find(keys: NDArray[np.uint64], key: int) -> int | None:
    index = int(np.searchsorted(keys, np.uint64(key)))
    return index if index < len(keys) and int(keys[index]) == key else None
