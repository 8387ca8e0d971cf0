"""What the gallery knows already, in 25 bytes an image, so that a million files fit in memory.

A picture at a new path whose content is known takes a row over. Vectors are the same whichever is
taken; metadata are not. Of several rows with the same content, the one that moved here is the best
guess: its file is gone, and it lay in the same folder below its root under the same name. What has
moved once moves no second time while there are others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from composir.gallery.rows import Place, image_id
from composir.gallery.store import Store
from composir.images.containers import container_of

_PENDING = 4096
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
                fresh = np.array(sorted(self._pending), dtype=np.uint64)
                places = np.searchsorted(self._sorted, fresh)
                self._sorted = np.insert(self._sorted, places, fresh)
                self._pending.clear()
            return True

    def _has(self, key: int) -> bool:
        return key in self._pending or _find(self._sorted, key) is not None


class KnownFiles:
    """Ids and stat signatures of all rows, and which of them were found on disk again."""

    def __init__(self, store: Store) -> None:
        ids: list[NDArray[np.uint64]] = []
        stats: list[NDArray[np.uint64]] = []
        contents: list[NDArray[np.uint64]] = []
        for batch in store.stream(["id", "size", "modified", "content_hash"]):
            ids.append(_keys(batch["id"].to_pylist()))
            contents.append(_keys(batch["content_hash"].to_pylist()))
            size = batch["size"].to_numpy().astype(np.uint64)
            modified = batch["modified"].cast("int64").to_numpy().astype(np.uint64)
            stats.append(size * np.uint64(_SIZE_FACTOR) + modified)  # as `stat_signature`
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


def _keys(hexadecimal: list[str]) -> NDArray[np.uint64]:
    return np.fromiter((int(text[:16], 16) for text in hexadecimal), dtype=np.uint64)


def _find(keys: NDArray[np.uint64], key: int) -> int | None:
    index = int(np.searchsorted(keys, np.uint64(key)))
    return index if index < len(keys) and int(keys[index]) == key else None


@dataclass(frozen=True, slots=True)
class CopySource:
    """A row that has some content."""

    id: str  # the row's
    content_hash: str  # of the file
    path: Path  # of the file
    folder: str  # relative to the root, with `/`
    position: int  # of the row in the store


@dataclass(slots=True)
class _Group:
    """The rows of one content, in order, and those of them whose files are gone, by name."""

    rows: dict[str, CopySource] = field(default_factory=dict)
    moved: dict[str, list[CopySource]] = field(default_factory=dict)


class MovedFiles:
    """Assigns rows to new places; remembers over a whole run which ones have moved already."""

    def __init__(self, was_not_found: Callable[[str], bool]) -> None:
        """Assign rows; `was_not_found` says of an id that its file was not met in this run."""
        self._was_not_found = was_not_found
        self._taken: set[str] = set()

    def assign(
        self, copies: Sequence[tuple[Place, str]], rows: Iterable[CopySource]
    ) -> list[CopySource | None]:
        """Give each new place the row that it takes over; None where no row has its content."""
        groups = self._grouped(rows)
        given: list[CopySource | None] = [None] * len(copies)
        # The surest first, so that none is taken from under the hands of a better match.
        for match in (_same_path, _same_place, _same_name, _any_moved, _any_row):
            for index, (place, content) in enumerate(copies):
                group = groups.get(content)
                if given[index] is None and group is not None:
                    given[index] = match(group, place)
                    self._take(group, given[index])
        return given

    def _grouped(self, rows: Iterable[CopySource]) -> dict[str, _Group]:
        groups: dict[str, _Group] = {}
        for row in rows:
            group = groups.setdefault(row.content_hash, _Group())
            group.rows[row.id] = row
            if self._has_moved(row):
                group.moved.setdefault(row.path.name, []).append(row)
        return groups

    def _has_moved(self, row: CopySource) -> bool:
        return (
            row.id not in self._taken
            and self._was_not_found(row.id)
            # Rows of other folders are not met at all.
            and not os.path.lexists(container_of(row.path) or row.path)
        )

    def _take(self, group: _Group, row: CopySource | None) -> None:
        """Let a row move once, unless it is the last that is left."""
        if row is None:
            return
        named = group.moved.get(row.path.name, [])
        if row in named and (len(group.moved) > 1 or len(named) > 1):
            self._taken.add(row.id)
            named.remove(row)
            if not named:
                del group.moved[row.path.name]


def _same_path(group: _Group, place: Place) -> CopySource | None:
    return group.rows.get(image_id(place.path))


def _same_place(group: _Group, place: Place) -> CopySource | None:
    named = group.moved.get(place.path.name, [])
    return next((row for row in named if row.folder == place.folder), None)


def _same_name(group: _Group, place: Place) -> CopySource | None:
    return next(iter(group.moved.get(place.path.name, [])), None)


def _any_moved(group: _Group, _place: Place) -> CopySource | None:
    return next((row for rows in group.moved.values() for row in rows), None)


def _any_row(group: _Group, _place: Place) -> CopySource | None:
    return next(iter(group.rows.values()), None)
