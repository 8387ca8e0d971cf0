"""All vectors of a gallery as one memory-mapped matrix, for exact search.

A derived file, `cache/vectors-VERSION-ROWS.npy`, float32: half precision would halve the disk but
numpy converts it six times slower than it multiplies. Rebuilt when the dataset has moved on;
written beside and renamed, so that a half-written one is never read.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from composir.data.files import check_regular, replaced_atomically
from composir.data.outputs import inside
from composir.gallery.rows import vectors_of
from composir.gallery.store import Store, VersionGoneError
from composir.types import FloatArray

CACHE_NAME = "cache"


def load_matrix(store: Store, folder: Path) -> FloatArray:
    """The vectors in the order of the store's rows, from the cache file or made now.

    Args:
        store: At some version.
        folder: The gallery's; where it cannot be written the matrix is kept in memory instead.

    Returns:
        (n, D) float32, unit norm; read-only when memory-mapped.

    Raises:
        OutputError: If the cache is a link.
        VersionGoneError: If an index run has removed that version.
    """
    path = _path(store, folder)
    try:
        if not _fits(path, store):
            _build(store, path)
        return _open(path)
    except VersionGoneError:
        raise
    except (OSError, ValueError):  # read-only or full disk, or a cache file cut short
        return _in_memory(store)


def forget_matrices(folder: Path) -> None:
    """Remove the cache files of a dataset that is gone: a new one counts its versions from 1."""
    for path in inside(folder, CACHE_NAME).glob("vectors-*-*.npy"):
        _remove(path)


def _path(store: Store, folder: Path) -> Path:
    return inside(folder, f"{CACHE_NAME}/vectors-{store.version}-{len(store)}.npy")


def _fits(path: Path, store: Store) -> bool:
    """Whether there is a matrix of the store's size; what is cut short or of others is not."""
    try:
        check_regular(path)
        matrix: FloatArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return bool(matrix.shape == (len(store), store.dimension) and matrix.dtype == np.float32)


def _open(path: Path) -> FloatArray:
    matrix: FloatArray = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(matrix)  # a plain view: the memmap class costs on every operation


def _build(store: Store, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with replaced_atomically(path) as file:
        _write(store, file)
    for other in path.parent.glob("vectors-*-*.npy"):
        if _version(other) < store.version:
            _remove(other)


def _version(path: Path) -> int:
    """Of a cache file; a slow reader of an old version must not remove the file of the newest."""
    number = path.name.split("-")[1]
    return int(number) if number.isdecimal() else -1


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # Windows keeps files that another process maps; the next build tries again
        return


def _write(store: Store, file: IO[bytes]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(store), store.dimension)}
    np.lib.format.write_array_header_1_0(file, header)
    for batch in store.stream(["vector"]):
        file.write(unit_rows(vectors_of(batch["vector"], store.dimension)).tobytes())


def _in_memory(store: Store) -> FloatArray:
    matrix = np.empty((len(store), store.dimension), dtype=np.float32)
    begin = 0
    for batch in store.stream(["vector"]):
        vectors = unit_rows(vectors_of(batch["vector"], store.dimension))
        matrix[begin : begin + len(vectors)] = vectors
        begin += len(vectors)
    return matrix


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Undo the rounding of half precision in the norms."""
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors / norms, dtype=np.float32)
