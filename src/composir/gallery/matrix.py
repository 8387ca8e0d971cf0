"""All vectors of a gallery as one memory-mapped matrix, for exact search.

A derived file, `cache/vectors-VERSION-ROWS-IDENTITY.npy`, float32: half precision would halve the
disk but numpy converts it six times slower than it multiplies. Rebuilt when the dataset has moved
on or is another one; written beside and renamed, so that a half-written one is never read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from composir.data.files import replaced_atomically
from composir.data.outputs import inside
from composir.data.untrusted_arrays import read_array
from composir.errors import GalleryError
from composir.gallery.disk_errors import VersionGoneError
from composir.gallery.remains import CACHE_NAME
from composir.gallery.rows import are_unit
from composir.gallery.store import Store
from composir.types import FloatArray

VECTORS, CODES = "vectors", "codes"
"""Kinds of cache files: the matrix, and its codes (`codes.py`)."""
_SAMPLE = 16  # rows looked at when a cache file is opened; `doctor --deep` looks at all


class NoMatrixError(GalleryError):
    """A cache file is not there, or is no matrix of the size that it must have."""

    code = "no-matrix"


class MatrixDamagedError(GalleryError):
    """A cache file has the right shape and wrong contents; it has to be made anew."""

    code = "matrix-damaged"

    def __init__(self) -> None:
        """Nobody sees the message, as the question is asked again, unless that happens twice."""
        super().__init__(f"vectors in the gallery's {CACHE_NAME} are damaged; delete that folder")


def load_matrix(store: Store, folder: Path, *, anew: bool = False) -> FloatArray:
    """The vectors in the order of the store's rows, from the cache file or made now.

    (n, D) float32, unit norm; read-only when memory-mapped.
    """
    path = matrix_path(store, folder)
    try:
        if anew or not fits(path, store):
            write_cached(path, store, lambda file: _write(store, file))
        return open_matrix(path, store)
    except VersionGoneError:
        raise
    except (
        OSError,
        ValueError,
        NoMatrixError,
    ):  # read-only or full disk, or a cache file cut short
        return _in_memory(store)


def forget_matrices(store: Store, folder: Path) -> None:
    """Remove the cache files of all other versions and datasets than the one at hand."""
    for kind in (VECTORS, CODES):
        kept = cached(kind, store, folder)
        for path in kept.parent.glob(f"{kind}-*-*.npy"):
            if path != kept:
                _remove(path)


def matrix_path(store: Store, folder: Path) -> Path:
    """Where the matrix of a store's version is kept."""
    return cached(VECTORS, store, folder)


def cached(kind: str, store: Store, folder: Path) -> Path:
    """Where what was made of the vectors of a store's version is kept."""
    name = f"{kind}-{store.version}-{len(store)}-{store.identity}.npy"
    return inside(folder, f"{CACHE_NAME}/{name}")


def fits(path: Path, store: Store) -> bool:
    """Whether there is a matrix of the store's size, and what it holds looks like vectors."""
    try:
        matrix = open_matrix(path, store)
    except NoMatrixError:
        return False
    sample = np.unique(np.linspace(0, max(len(matrix) - 1, 0), _SAMPLE).astype(int))
    return len(matrix) == 0 or bool(are_unit(np.asarray(matrix[sample])).all())


def open_matrix(path: Path, store: Store) -> FloatArray:
    """Map a cache file, (n, D) float32, read-only."""
    shape = (len(store), store.dimension)
    matrix = read_array(path, NoMatrixError, shape=shape, dtypes=("float32",), mapped=True)
    return np.asarray(matrix)  # a plain view: the memmap class costs on every operation


def write_cached(path: Path, store: Store, write: Callable[[IO[bytes]], None]) -> None:
    """Write a cache file, and remove those of its kind that are older."""
    path.parent.mkdir(exist_ok=True)
    with replaced_atomically(path) as file:
        write(file)
    for other in path.parent.glob(f"{path.name.partition('-')[0]}-*-*.npy"):
        if other != path and _version(other) <= store.version:
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
        file.write(store.unit_vectors(batch["vector"]).tobytes())


def _in_memory(store: Store) -> FloatArray:
    matrix = np.empty((len(store), store.dimension), dtype=np.float32)
    begin = 0
    for batch in store.stream(["vector"]):
        vectors = store.unit_vectors(batch["vector"])
        matrix[begin : begin + len(vectors)] = vectors
        begin += len(vectors)
    return matrix
