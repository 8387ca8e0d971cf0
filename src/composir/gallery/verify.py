"""Is everything of a gallery there and readable? Asked by `composir doctor` and before a repair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from composir.errors import GalleryDamagedError
from composir.gallery import rows
from composir.gallery.codes import have_sound_codes
from composir.gallery.damage import VersionGoneError, cause_of
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.manifest import read_manifest
from composir.gallery.matrix import fits, matrix_path, open_matrix
from composir.gallery.row_checks import faulty_rows
from composir.gallery.store import Store
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 5  # an index run may tidy up meanwhile
_SAME = 1e-3  # in any number of a vector of unit length

Part = Literal["manifest", "table", "cache"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something of a gallery that is damaged.

    Attributes:
        part: Where: the manifest, the table (or its index), or the cached matrix.
        told: What, for people.
    """

    part: Part
    told: str


def verify_gallery(folder: Path, *, deep: bool = False) -> list[Fault]:
    """Look for damage: that all files are there, as long as written, and can be read."""
    try:
        dimension = read_manifest(folder).bundle.dimension
    except GalleryDamagedError as error:
        return [Fault("manifest", error.fault)]
    return verify_table(folder, dimension, deep=deep)


def verify_table(folder: Path, dimension: int, *, deep: bool = False) -> list[Fault]:
    """The same for the table and the cache alone, for vectors of this width."""
    check = _check_deeply if deep else _check
    with clear_disk_errors(folder):
        for attempt in range(_ATTEMPTS):
            try:
                return check(Store(folder, dimension))
            except VersionGoneError as error:
                if attempt == _ATTEMPTS - 1:
                    return [Fault("table", cause_of(error))]
            except GalleryDamagedError as error:
                return [Fault("table", error.fault)]
    raise AssertionError("the last attempt returns or raises")


def _check(store: Store) -> list[Fault]:
    store.check_files()
    store.read_samples()
    path = matrix_path(store, store.folder)
    if path.exists() and not fits(path, store):
        return [Fault("cache", f"the cached vectors {path.name} are damaged")]
    return []


def _check_deeply(store: Store) -> list[Fault]:
    faults = _check(store)
    matrix = None if faults else _cached(store)
    counts, ids, differing = Counter[str](), set[str](), 0
    for begin, batch in _numbered(store):
        for fault, mask in faulty_rows(batch, store.dimension).items():
            counts[fault] += int(np.count_nonzero(mask))
        names = batch["id"].to_pylist()
        counts["have the id of another"] += len(names) - len(set(names) - ids)
        ids.update(names)
        if matrix is not None:
            differing += _differing(store, batch, matrix[begin : begin + len(batch)])
    total = len(store)
    faults += [
        Fault("table", f"{count:,} of {total:,} rows {fault}")
        for fault, count in counts.items()
        if count
    ]
    if differing:
        faults.append(Fault("cache", f"{differing:,} of the cached vectors are not the table's"))
    elif matrix is not None and not have_sound_codes(store, matrix):
        faults.append(Fault("cache", "the cached codes are not those of the vectors"))
    store.try_index()
    return faults


def _numbered(store: Store) -> Iterator[tuple[int, pa.RecordBatch]]:
    begin = 0
    for batch in store.stream(store.schema.names):
        yield begin, batch
        begin += len(batch)


def _cached(store: Store) -> FloatArray | None:
    path = matrix_path(store, store.folder)
    if not path.exists():
        return None
    return open_matrix(path, store)


def _differing(store: Store, batch: pa.RecordBatch, cached: FloatArray) -> int:
    """How many cached vectors are not those of a batch; rows whose own are faulty are told so."""
    if batch["vector"].null_count:
        return 0
    vectors = rows.vectors_of(batch["vector"], store.dimension)
    sound = rows.are_unit(vectors)
    with np.errstate(all="ignore"):
        same = np.abs(rows.unit_rows(vectors[sound]) - cached[sound]).max(axis=1) <= _SAME
    return int(np.count_nonzero(~same))
