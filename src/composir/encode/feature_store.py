"""Rows that encoders made, on disk: by encoder and content, shared by everybody who asks again.

One folder: `index.sqlite` says which row of which file belongs to which content, and each kind of
row has a file of its own, `KIND.rows`, which only grows. A batch of rows is on disk before the
index names it, so a killed run loses its last batch at most, and what follows goes on after it. One
process at a time fills a kind; others wait for it and then find everything there.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from itertools import compress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.data.file_lock import try_lock
from composir.data.outputs import inside, open_inside
from composir.encode.image_files import ImageFile
from composir.encode.stored import RowKind, StoredRows
from composir.errors import CacheError

INDEX = "index.sqlite"
_LOOK_AGAIN = 0.2
_ASKED_AT_ONCE = 500
_HASHED_AT_ONCE = 256
_CHECKED_AT_ONCE = 4096
_ROUNDING = 0.01
_LOG = logging.getLogger(__name__)


class FeatureStore:
    """Rows by kind and content key, safe to share between processes."""

    def __init__(self, folder: Path, way_out: str = "delete it") -> None:
        """Open the store, or start it."""
        self.folder, self._way_out = folder, way_out
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        for path in folder.iterdir():
            if path.name.startswith(INDEX) or path.suffix in {".rows", ".lock"}:
                inside(folder, path.name)
        with self._index() as index:
            index.execute(
                "CREATE TABLE IF NOT EXISTS rows (kind TEXT, key TEXT, place INTEGER,"
                " PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
            index.execute("CREATE UNIQUE INDEX IF NOT EXISTS by_place ON rows (kind, place)")
            index.execute(
                "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER,"
                " mtime_ns INTEGER, content TEXT) WITHOUT ROWID"
            )

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """One transaction; damage shows only where a page is read, so every use can fail."""
        try:
            path = self.folder / INDEX
            with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        except OSError as error:
            raise CacheError(
                f"{self.folder}: the cache of vectors cannot be written "
                f"({error.strerror or error}); make room on its disk, or {self._way_out}"
            ) from error

    def _unusable(self, reason: object) -> CacheError:
        return CacheError(
            f"{self.folder}: the cache of vectors cannot be used ({reason}); {self._way_out}"
        )

    @contextmanager
    def filling(self, kind: RowKind) -> Iterator[None]:
        """Hold a kind while its rows are computed; waits, and says so, where another does."""
        handle = open_inside(self.folder, f"{kind.file}.lock", os.O_RDWR)
        try:
            self._wait_for(handle, kind)
            yield
        finally:
            os.close(handle)

    def _wait_for(self, handle: int, kind: RowKind) -> None:
        try:
            told = False
            while not try_lock(handle):
                if not told:
                    _LOG.warning("another run is computing the same %s: waiting for it", kind.what)
                told = True
                time.sleep(_LOOK_AGAIN)
        except OSError as error:
            raise CacheError(
                f"the cache {self.folder} cannot be locked: {error}; it must lie on a "
                f"local disk: {self._way_out}"
            ) from error

    def keys(self, pictures: Sequence[ImageFile], view: int = 0) -> list[str]:
        """What identifies the pixels of pictures; files that did not change are not read again."""
        found: list[str] = []
        for start in range(0, len(pictures), _HASHED_AT_ONCE):
            part = pictures[start : start + _HASHED_AT_ONCE]
            contents = self._contents([_seen(picture) for picture in part], part)
            found += [_key(*one, view) for one in zip(contents, part, strict=True)]
        return found

    def _contents(
        self, seen: Sequence[_Seen | None], pictures: Sequence[ImageFile]
    ) -> list[str | None]:
        """Hashes of files, kept by how they look from outside; others may write meanwhile."""
        with self._index() as index:
            known = {one: _kept_content(index, one) for one in seen if one}
        fresh = {}
        for one, picture in zip(seen, pictures, strict=True):
            if one and known[one] is None:
                with suppress(OSError):
                    known[one] = fresh[one] = picture.digest()
        if fresh:
            rows = [(*one, content) for one, content in fresh.items()]
            with self._index() as index:
                index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        return [known[one] if one else None for one in seen]

    def known(self, kind: RowKind, keys: Iterable[str]) -> dict[str, int]:
        """Places of the rows that are there, and sound as far as can be told, by key."""
        wanted = list(dict.fromkeys(key for key in keys if key))
        found: dict[str, int] = {}
        with self._index() as index:
            for start in range(0, len(wanted), _ASKED_AT_ONCE):
                part = wanted[start : start + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(part))
                asked = f"SELECT key, place FROM rows WHERE kind = ? AND key IN ({marks})"
                found.update(index.execute(asked, (kind.id, *part)))
        return self._sound(kind, found)

    def _sound(self, kind: RowKind, found: Mapping[str, int]) -> dict[str, int]:
        """Numbers have no checksum, but hardly any damage leaves every vector at unit norm."""
        count = self._count(kind)
        there = {key: place for key, place in found.items() if _is_place(place, count)}
        if not kind.is_unit or not there:
            return there
        data, keys = self._data(kind, count), list(there)
        good: list[str] = []
        for start in range(0, len(keys), _CHECKED_AT_ONCE):
            part = keys[start : start + _CHECKED_AT_ONCE]
            good += compress(part, _are_unit(data[[there[key] for key in part]]))
        return {key: there[key] for key in good}

    def put(self, kind: RowKind, rows: Mapping[str, NDArray[Any]]) -> None:
        """Keep rows."""
        kept = {key: row for key, row in rows.items() if key}
        if not kept:
            return
        data = np.stack(list(kept.values())).astype(kind.dtype, copy=False)
        if data.shape[1:] != kind.shape:
            raise ValueError(f"rows of {data.shape[1:]}, but {kind.what} are {kind.shape}")
        with self._index() as index:
            index.execute("BEGIN IMMEDIATE")
            index.execute(
                "DELETE FROM rows WHERE kind = ? AND place >= ?", (kind.id, self._count(kind))
            )
            asked = "SELECT COALESCE(MAX(place) + 1, 0) FROM rows WHERE kind = ?"
            begin = int(index.execute(asked, (kind.id,)).fetchone()[0])
            self._write(kind, begin, data)
            index.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)",
                [(kind.id, key, begin + number) for number, key in enumerate(kept)],
            )

    def _write(self, kind: RowKind, begin: int, data: NDArray[Any]) -> None:
        handle = open_inside(self.folder, kind.file, os.O_RDWR | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "r+b") as file:
            file.seek(begin * kind.row_bytes)
            file.write(np.ascontiguousarray(data).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def rows(self, kind: RowKind, keys: Sequence[str]) -> StoredRows:
        """Rows in the order of keys, all of which are there; read from disk where they are used."""
        known = self.known(kind, keys)
        try:
            places = np.array([known[key] for key in keys], dtype=np.int64)
        except KeyError as error:
            raise self._unusable("another process has changed it meanwhile") from error
        return StoredRows(self._data(kind, self._count(kind)), places)

    def _count(self, kind: RowKind) -> int:
        """Whole rows of a kind's file."""
        try:
            return (self.folder / kind.file).stat().st_size // kind.row_bytes
        except FileNotFoundError:
            return 0

    def _data(self, kind: RowKind, count: int) -> NDArray[Any]:
        shape = (count, *kind.shape)
        if not count:
            return np.empty(shape, kind.dtype)
        return np.memmap(self.folder / kind.file, kind.dtype, "r", shape=shape)


class Memory:
    """What is kept for one call alone, where there is no store."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rows: dict[str, dict[str, NDArray[Any]]] = {}

    def filling(self, _kind: RowKind) -> nullcontext[None]:
        """Nobody else fills it."""
        return nullcontext()

    def keys(self, pictures: Sequence[ImageFile], _view: int = 0) -> list[str]:
        """A key for each picture, whatever its content."""
        return [f"{place}" for place in range(len(pictures))]

    def known(self, kind: RowKind, _keys: Iterable[str]) -> dict[str, int]:
        """Places, by key, of the rows that are there."""
        there = self._rows.get(kind.id, {})
        return {key: place for place, key in enumerate(there)}

    def put(self, kind: RowKind, rows: Mapping[str, NDArray[Any]]) -> None:
        """Keep rows by key."""
        self._rows.setdefault(kind.id, {}).update(rows)

    def rows(self, kind: RowKind, keys: Sequence[str]) -> StoredRows:
        """Rows in the order of keys."""
        there = self._rows.get(kind.id, {})
        data = np.empty((len(keys), *kind.shape), kind.dtype)
        for place, key in enumerate(keys):
            data[place] = there[key]
        return StoredRows(data, np.arange(len(keys)))


def _are_unit(rows: NDArray[Any]) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(np.einsum("nd,nd->n", rows, rows) - 1) < _ROUNDING)


def _is_place(place: object, count: int) -> bool:
    return isinstance(place, int) and 0 <= place < count


_Seen: TypeAlias = tuple[bytes, int, int]
"""Path, size and time of the last change."""


def _seen(picture: ImageFile) -> _Seen | None:
    try:
        status = picture.path.stat()
        return _stored_path(picture), status.st_size, status.st_mtime_ns
    except (OSError, ValueError):  # the latter of names that are no text
        return None


def _kept_content(index: sqlite3.Connection, seen: _Seen) -> str | None:
    asked = "SELECT content FROM files WHERE path = ? AND size = ? AND mtime_ns = ?"
    row = index.execute(asked, seen).fetchone()
    return None if row is None else str(row[0])


def _key(content: str | None, picture: ImageFile, view: int) -> str:
    if content is None:
        return ""
    cut = "" if picture.crop is None else f"|{picture.crop}"
    return content + cut + (f"|{picture.name}|view {view}" if view else "")


def _stored_path(picture: ImageFile) -> bytes:
    """Absolute, as bytes: SQLite's texts must be valid UTF-8, and paths need not be."""
    place = f"\0{picture.stretch}" if picture.stretch else ""
    return os.fsencode(str(picture.path.resolve()) + place)
