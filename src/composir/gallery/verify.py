"""Is everything of a gallery there and readable? Asked by `composir doctor` and before a repair.

Rows must be what an index run writes: damaged files may well decode to something.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.errors import GalleryDamagedError
from composir.gallery import rows
from composir.gallery.codes import have_sound_codes
from composir.gallery.disk_errors import VersionGoneError, cause_of, clear_disk_errors
from composir.gallery.manifest import read_manifest
from composir.gallery.matrix import fits, matrix_path, open_matrix
from composir.gallery.store import Store
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 5  # an index run may tidy up meanwhile
_SAME = 1e-3  # in any number of a vector of unit length

Part = Literal["manifest", "table", "cache"]
_HASH = re.compile(r"[0-9a-f]{32}")
_NULLABLE = frozenset({"path_bytes", "taken_at", "camera"})
_LARGEST_THUMBNAIL = 4096


@dataclass(frozen=True, slots=True)
class Fault:
    """Something of a gallery that is damaged."""

    part: Part  # where: the manifest, the table (or its index), or the cached matrix
    told: str  # what, for people


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
    faults, path = _check(store), matrix_path(store, store.folder)
    matrix = open_matrix(path, store) if not faults and path.exists() else None
    counts, ids, differing, begin = Counter[str](), set[str](), 0, 0
    for batch in store.stream(store.schema.names):
        for fault, mask in faulty_rows(batch, store.dimension).items():
            counts[fault] += int(np.count_nonzero(mask))
        names = batch["id"].to_pylist()
        counts["have the id of another"] += len(names) - len(set(names) - ids)
        ids.update(names)
        if matrix is not None:
            differing += _differing(store, batch, matrix[begin : begin + len(batch)])
        begin += len(batch)
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


def _differing(store: Store, batch: pa.RecordBatch, cached: FloatArray) -> int:
    """How many cached vectors are not those of a batch; rows whose own are faulty are told so."""
    if batch["vector"].null_count:
        return 0
    vectors = rows.vectors_of(batch["vector"], store.dimension)
    sound = rows.are_unit(vectors)
    with np.errstate(all="ignore"):
        same = np.abs(rows.unit_rows(vectors[sound]) - cached[sound]).max(axis=1) <= _SAME
    return int(np.count_nonzero(~same))


def faulty_rows(batch: pa.RecordBatch, dimension: int) -> dict[str, NDArray[np.bool_]]:
    """(n,) which rows are faulty, by what is wrong with them, worded to follow a number of rows."""
    return {
        "lack a value": _lack_values(batch),
        "have an id that is not their path's": _have_other_ids(batch),
        "have a vector that is not of unit length": _have_no_vector(batch, dimension),
        "have a damaged thumbnail": _each(batch, "thumbnail", _is_thumbnail),
        "have a damaged content hash": _each(batch, "content_hash", _is_hash),
    }


def sound_rows(batch: pa.RecordBatch, dimension: int) -> NDArray[np.bool_]:
    """(n,) which rows have no fault; arguments as for `faulty_rows`."""
    faults = faulty_rows(batch, dimension)
    return np.asarray(~np.logical_or.reduce(list(faults.values())))


def _lack_values(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    lacking = np.zeros(len(batch), dtype=bool)
    for name in rows.OWN_COLUMNS:
        if name not in _NULLABLE:
            lacking |= batch[name].is_null().to_numpy(zero_copy_only=False)
    return lacking


def _have_other_ids(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    columns = (batch[name].to_pylist() for name in ("id", "path", "path_bytes"))
    return np.array(
        [
            text is None or rows.image_id(rows.decode_path(text, raw)) != image_id
            for image_id, text, raw in zip(*columns, strict=True)
        ],
        dtype=bool,
    )


def _have_no_vector(batch: pa.RecordBatch, dimension: int) -> NDArray[np.bool_]:
    column = batch["vector"]
    faulty = column.is_null().to_numpy(zero_copy_only=False)
    there = ~faulty
    faulty[there] = ~rows.are_unit(rows.vectors_of(column.drop_null(), dimension))
    return np.asarray(faulty)


def _each(batch: pa.RecordBatch, name: str, is_sound: Callable[..., bool]) -> NDArray[np.bool_]:
    return np.array(
        [value is not None and not is_sound(value) for value in batch[name].to_pylist()], dtype=bool
    )


def _is_hash(text: str) -> bool:
    return _HASH.fullmatch(text) is not None


def _is_thumbnail(data: bytes) -> bool:
    """Whether the header is a JPEG's and the end is there; decoding all would take minutes."""
    if not data.startswith(b"\xff\xd8") or not data.endswith(b"\xff\xd9"):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            return max(picture.size) <= _LARGEST_THUMBNAIL
    except Exception:  # Pillow raises nearly anything on damaged data
        return False
