"""One image's row: its columns, and how paths of any bytes become columns and come back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from composir.data.remote_paths import as_path
from composir.gallery.duplicates import COLOUR_BYTES, Signature
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

    from composir.images.scan import FoundFile, Inside

OWN_COLUMNS = (
    "id",
    "path",
    "path_bytes",
    "content_hash",
    "vector",
    "width",
    "height",
    "taken_at",
    "camera",
    "folder",
    "size",
    "modified",
    "thumbnail",
    "perceptual_hash",
    "colour_layout",
)
PLACE_COLUMNS = ("id", "path", "path_bytes", "folder", "size", "modified")
CANDIDATE_COLUMNS = tuple(name for name in OWN_COLUMNS if name not in {"vector", "thumbnail"})
INTERNAL_COLUMNS = frozenset(
    {"path_bytes", "vector", "thumbnail", "perceptual_hash", "colour_layout"}
)
WIDENED = "__widened"  # ends the name of a column that a run is about to put in another's place
_INT64 = 2**63
_UNIT_TOLERANCE = 0.01  # half precision takes 0.0005


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is and how it looked from outside when it was indexed."""

    path: Path  # absolute
    folder: str  # its folder relative to the root, with `/`; empty for the root itself
    size: int  # bytes
    mtime_ns: int  # time of the last change, nanoseconds since 1970
    inside: Inside | None = None  # where its bytes are; None of a file of its own

    @classmethod
    def of(cls, found: FoundFile) -> Place:
        """Where a picture was found."""
        is_below = found.path != found.root  # a root may be a single file
        folder = found.path.parent.relative_to(found.root).as_posix() if is_below else "."
        named = "" if folder == "." else folder
        return cls(found.path, named, found.size, found.mtime_ns, found.inside)

    @property
    def root(self) -> Path:
        """The folder that was indexed; for a file named itself, the one around it."""
        return self.path.parents[len(PurePosixPath(self.folder).parts)]


@dataclass(frozen=True, slots=True)
class Picture:
    """What reading a file gave."""

    content_hash: str  # of the file's bytes, 32 hexadecimal digits
    width: int  # pixels, upright
    height: int  # pixels, upright
    taken_at: datetime | None  # from EXIF
    camera: str | None  # from EXIF
    thumbnail: bytes  # JPEG
    signature: Signature  # for finding near duplicates


def hash_content(data: bytes) -> str:
    """The content hash of a file's bytes: 32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def image_id(path: str | os.PathLike[str]) -> str:
    """The gallery's id of the image at an absolute path: 16 hexadecimal digits."""
    return blake2b(os.fsencode(path), digest_size=8).hexdigest()


def clean_text(text: str) -> str:
    """Text that any UTF-8 column takes: bytes of no encoding show in hexadecimal."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def decode_path(text: str, raw: bytes | None) -> Path:
    """The path of a row from its columns `path` and `path_bytes`."""
    return as_path(decode_place(text, raw))


def decode_place(text: str, raw: bytes | None) -> str:
    """The same as text."""
    return text if raw is None else os.fsdecode(raw)


def schema(dimension: int) -> pa.Schema:
    """The dataset's own columns, for vectors of this width."""
    import pyarrow as pa

    types = (
        pa.string(),
        pa.string(),
        pa.binary(),
        pa.string(),
        pa.list_(pa.float16(), dimension),
        pa.int32(),
        pa.int32(),
        pa.timestamp("us"),
        pa.string(),
        pa.string(),
        pa.int64(),
        pa.timestamp("ns"),
        pa.binary(),
        pa.uint64(),
        pa.binary(COLOUR_BYTES),
    )
    return pa.schema(list(zip(OWN_COLUMNS, types, strict=True)))


def schema_fault(found: pa.Schema, dimension: int) -> str:
    """What a dataset's columns lack of `schema`; empty where they are as they must be."""
    missing = [name for name in OWN_COLUMNS if name not in found.names]
    if missing:
        return f"its table has no column {missing[0]}"
    for field in schema(dimension):
        if found.field(field.name).type != field.type:
            kind = found.field(field.name).type
            return f"its column {field.name} holds {kind}, not {field.type}"
    return ""


def place_columns(places: Sequence[Place]) -> dict[str, pa.Array]:
    """The columns that say where files are."""
    import pyarrow as pa

    texts = [clean_text(str(place.path)) for place in places]
    raws = [
        None if text == str(place.path) else os.fsencode(place.path)
        for text, place in zip(texts, places, strict=True)
    ]
    modified = [max(min(place.mtime_ns, _INT64 - 1), -_INT64 + 1) for place in places]
    return {
        "id": pa.array([image_id(place.path) for place in places], pa.string()),
        "path": pa.array(texts, pa.string()),
        "path_bytes": pa.array(raws, pa.binary()),
        "folder": pa.array([clean_text(place.folder) for place in places], pa.string()),
        "size": pa.array([place.size for place in places], pa.int64()),
        "modified": pa.array(modified, pa.int64()).cast(pa.timestamp("ns")),
    }


def picture_columns(pictures: Sequence[Picture], vectors: FloatArray) -> dict[str, pa.Array]:
    """The columns that say what n files show; the vectors are (n, D) float32 of unit norm."""
    import pyarrow as pa

    cameras = [None if one.camera is None else clean_text(one.camera) for one in pictures]
    return {
        "content_hash": pa.array([one.content_hash for one in pictures], pa.string()),
        "vector": vector_column(vectors),
        "width": pa.array([one.width for one in pictures], pa.int32()),
        "height": pa.array([one.height for one in pictures], pa.int32()),
        "taken_at": pa.array([one.taken_at for one in pictures], pa.timestamp("us")),
        "camera": pa.array(cameras, pa.string()),
        "thumbnail": pa.array([one.thumbnail for one in pictures], pa.binary()),
        "perceptual_hash": pa.array(
            [one.signature.perceptual_hash for one in pictures], pa.uint64()
        ),
        "colour_layout": pa.array(
            [one.signature.colour_layout for one in pictures], pa.binary(COLOUR_BYTES)
        ),
    }


def vector_column(vectors: FloatArray) -> pa.Array:
    """(n, D) float32, unit norm, as the table keeps them."""
    import pyarrow as pa

    flat = pa.array(vectors.astype(np.float16).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def as_table(columns: dict[str, Any], full: pa.Schema) -> pa.Table:
    """A table of exactly the columns of `full`; those that are not given are null."""
    import pyarrow as pa

    count = len(columns["id"])
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in full]
    return pa.Table.from_arrays(arrays, schema=full)


def vectors_of(column: pa.ChunkedArray | pa.Array, dimension: int) -> FloatArray:
    """The vectors of a column, (n, D) float32, of unit norm as far as half precision keeps it."""
    import pyarrow as pa

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if len(whole) == 0:
        return np.empty((0, dimension), dtype=np.float32)
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(-1, dimension), dtype=np.float32)


def are_unit(vectors: FloatArray) -> NDArray[np.bool_]:
    """Which of (n, D) vectors have unit length; NaN, infinity and zero vectors do not."""
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(vectors, axis=1)
        return np.asarray(np.abs(norms - 1) <= _UNIT_TOLERANCE)


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Undo the rounding of half precision in the norms."""
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors / norms, dtype=np.float32)
