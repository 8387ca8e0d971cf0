"""Whether rows are what an index run writes: damaged files may well decode to something."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.gallery import rows

if TYPE_CHECKING:
    import pyarrow as pa

_HASH = re.compile(r"[0-9a-f]{32}")
_NULLABLE = frozenset({"path_bytes", "taken_at", "camera"})
_LARGEST_THUMBNAIL = 4096


def faulty_rows(batch: pa.RecordBatch, dimension: int) -> dict[str, NDArray[np.bool_]]:
    """Which rows are faulty, by what is wrong with them.

    Returns:
        For each kind of fault, worded to follow a number of rows, (n,) whether a row has it.
    """
    checks: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "lack a value": lambda: _lack_values(batch),
        "have an id that is not their path's": lambda: _have_other_ids(batch),
        "have a vector that is not of unit length": lambda: _have_no_vector(batch, dimension),
        "have a damaged thumbnail": lambda: _each(batch, "thumbnail", _is_thumbnail),
        "have a damaged content hash": lambda: _each(batch, "content_hash", _is_hash),
    }
    return {fault: check() for fault, check in checks.items()}


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
