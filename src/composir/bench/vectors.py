"""Vectors of a benchmark's images: read from a file, or kept as they are made (`encode`).

What was encoded is kept by (bundle fingerprint, image content, crop) in one SQLite file, so that a
second composer on the same data costs only its queries.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from composir.bench.pictures import content_key
from composir.bench.task import Picture, file_sha256, refuse_duplicates, writable
from composir.data.untrusted_arrays import ArrayFaultError, read_arrays
from composir.errors import BenchError, DatasetError
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class VectorTable:
    """Vectors by id.

    Attributes:
        ids: n unique ids.
        matrix: (n, D) float32, unit norm.
        source: Where they come from, for result files.
    """

    ids: tuple[str, ...]
    matrix: FloatArray
    source: str

    def by_id(self) -> dict[str, FloatArray]:
        """Every vector, (D,) float32, under its id."""
        return dict(zip(self.ids, self.matrix, strict=True))

    def rows(self, ids: Sequence[str], what: str) -> FloatArray:
        """Vectors of some ids.

        Args:
            ids: Which, in order.
            what: Whose, for the message.

        Returns:
            (len(ids), D) float32.

        Raises:
            DatasetError: If any is missing; says how many and names the first ten.
        """
        place = {name: index for index, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in place]
        if missing:
            raise DatasetError(
                f"{self.source}: {len(missing):,} of {len(ids):,} vectors of {what} are missing: "
                f"{first_ten(missing)}"
            )
        return self.matrix[[place[name] for name in ids]]


def first_ten(names: Sequence[str]) -> str:
    """The first ten names, and a sign that there are more."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def load_vectors(path: Path, *, dimension: int | None = None) -> VectorTable:
    """Read precomputed vectors: an `.npz` with `ids` (n) and `matrix` (n, D).

    Args:
        path: The file; ids may be numbers or strings, rows need not be of unit norm.
        dimension: The width that the model at hand makes, or None for any.

    Returns:
        The vectors, normalised.

    Raises:
        DatasetError: If the file is missing or damaged, widths or lengths do not agree, ids are
            duplicate, values are no real numbers, or a row is NaN, infinite or zero.
    """
    ids, matrix = _read_npz(path)
    _check_kinds(path, ids, matrix)
    if matrix.ndim != 2 or ids.ndim != 1 or len(ids) != len(matrix):
        raise DatasetError(
            f"{path}: `ids` has shape {ids.shape} and `matrix` {matrix.shape}; "
            f"they must be (n,) and (n, D)"
        )
    if dimension is not None and matrix.shape[1] != dimension:
        raise DatasetError(
            f"{path}: vectors of {matrix.shape[1]} numbers, but the model makes {dimension}; "
            f"were they computed with another model?"
        )
    names = tuple(str(name) for name in ids.tolist())
    refuse_duplicates(names, f"{path}: id")
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise DatasetError(
            f"{path}: {len(bad):,} vectors are NaN, infinite or zero; the first is row {bad[0]} "
            f"(id {names[bad[0]]!r})"
        )
    digest = hashlib.sha256(np.ascontiguousarray(matrix).tobytes()).hexdigest()[:16]
    unit = (matrix / norms[:, None]).astype(np.float32)
    return VectorTable(names, unit, f"{path.name} (sha256 {digest})")


def _read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        ids, matrix = read_arrays(path, ("ids", "matrix"))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: there is no such file of vectors") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ArrayFaultError as error:
        raise DatasetError(
            f"{path}: {error}; write it with numpy.savez(file, ids=..., matrix=...)"
        ) from error
    return ids, matrix


def _check_kinds(path: Path, ids: NDArray[Any], matrix: NDArray[Any]) -> None:
    if ids.dtype.kind not in "Uiu":
        raise DatasetError(
            f"{path}: `ids` holds values of type {ids.dtype}; they must be strings or whole numbers"
        )
    if matrix.dtype.kind not in "fiu":
        raise DatasetError(
            f"{path}: `matrix` holds values of type {matrix.dtype}; they must be real numbers, "
            f"e.g. float32"
        )


class VectorCache:
    """Vectors on disk, by bundle fingerprint and image content; safe to share between processes."""

    def __init__(self, path: Path) -> None:
        """Open the cache, or start it.

        Args:
            path: The SQLite file.

        Raises:
            BenchError: If it cannot be opened or is something else.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        with self._connection() as connection:
            connection.executescript(
                "CREATE TABLE IF NOT EXISTS vectors (bundle TEXT, content TEXT, vector BLOB,"
                " PRIMARY KEY (bundle, content)) WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER,"
                " mtime_ns INTEGER, content TEXT) WITHOUT ROWID;"
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction; damage shows only where a page is read, so every use can fail."""
        try:
            with closing(sqlite3.connect(self._path, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, reason: object) -> BenchError:
        return BenchError(
            f"{self._path}: the vector cache cannot be used ({reason}); "
            f"delete it, or run with --no-cache"
        )

    def get(self, bundle: str, contents: Iterable[str]) -> dict[str, FloatArray]:
        """Known vectors, (D,) float32 by content key.

        Raises:
            BenchError: If the file is damaged.
        """
        with self._connection() as connection:
            found = {}
            for content in contents:
                row = connection.execute(
                    "SELECT vector FROM vectors WHERE bundle = ? AND content = ?", (bundle, content)
                ).fetchone()
                if row is not None:
                    found[content] = self._vector(row[0])
            return found

    def _vector(self, stored: object) -> FloatArray:
        if not isinstance(stored, bytes) or not stored or len(stored) % 4:
            raise self._unusable("a vector in it is damaged")
        return np.frombuffer(stored, dtype=np.float32)

    def put(self, bundle: str, vectors: Mapping[str, FloatArray]) -> None:
        """Keep vectors, (D,) float32 by content key.

        Raises:
            BenchError: If the file is damaged or cannot be written.
        """
        rows = [(bundle, key, np.asarray(v, np.float32).tobytes()) for key, v in vectors.items()]
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Content keys of pictures; files that did not change since last time are not read.

        Returns:
            One key each; empty where a file cannot be read, or has a name that no table can hold.

        Raises:
            BenchError: If the cache is damaged or cannot be written.
        """
        with self._connection() as connection:
            return [_key_or_none(picture, connection) for picture in pictures]


def _key_or_none(picture: Picture, connection: sqlite3.Connection) -> str:
    try:
        return content_key(picture, partial(_hash_file, connection))
    except (OSError, ValueError):  # the latter of names that are no text
        return ""


def _hash_file(connection: sqlite3.Connection, path: Path) -> str:
    stat = path.stat()
    key = (_stored_path(path), stat.st_size, stat.st_mtime_ns)
    row = connection.execute(
        "SELECT content FROM files WHERE path = ? AND size = ? AND mtime_ns = ?", key
    ).fetchone()
    if row is not None:
        return str(row[0])
    content = file_sha256(path)
    connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (*key, content))
    return content


def _stored_path(path: Path) -> str | bytes:
    """Absolute; as the system's bytes where it is not valid UTF-8, which SQLite's texts must be."""
    absolute = str(path.resolve())
    return absolute if writable(absolute) else os.fsencode(absolute)
