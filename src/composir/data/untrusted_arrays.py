"""Arrays that somebody else may have written: `.npy` and `.npz`, checked before they are read.

The header is compared with the bytes that are really there before anything is allocated, objects
and records are never read, and an archive that would unpack to far more than itself is refused.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from composir.data.files import open_regular
from composir.errors import ComposirError

MOST_DIMENSIONS = 8
MOST_UNPACKED = 1 << 28
"""Bytes that an archive may always unpack to; more only if it is not far larger than itself."""
MOST_PACKED = 50
"""Texts pack well, vectors hardly; what is packed better than so many times is a trap."""

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 10_000
_HEADER = re.compile(
    r"\{\s*'descr'\s*:\s*'(?P<kind>[^'\\]{1,30})'\s*,"
    r"\s*'fortran_order'\s*:\s*(?P<fortran>True|False)\s*,"
    r"\s*'shape'\s*:\s*\((?P<shape>[\d\s,]*)\)\s*,?\s*\}\s*",
    re.ASCII,
)
_KINDS = "biufcUS"


class ArrayFaultError(ValueError):
    """Why a file holds no array to go on with; the message is the reason alone."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What the beginning of an `.npy` file promises, and where the numbers begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: str
    begin: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_array(
    path: Path,
    error: type[ComposirError],
    *,
    shape: Sequence[int | None],
    dtypes: Collection[str],
    finite: bool = False,
    mapped: bool = False,
) -> NDArray[Any]:
    """Read one array from an `.npy` file.

    Args:
        path: The file.
        error: What to raise.
        shape: The shape that it must have; None for any length.
        dtypes: Names of the types that it may have, e.g. `float32`.
        finite: Refuse NaN and infinite numbers.
        mapped: Map the file instead of reading it; the array is then read-only.
    """
    try:
        with open_regular(path) as file:
            array = _array(file, _size_of(file), mapped=mapped)
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror or fault})") from fault
    except ArrayFaultError as fault:
        raise error(f"{path}: {fault}") from fault
    problem = _problem(array, shape, dtypes, finite=finite)
    if problem:
        raise error(f"{path}: {problem}")
    return array


def read_arrays(path: Path, names: Sequence[str]) -> tuple[NDArray[Any], ...]:
    """Read named arrays from an `.npz` file."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = [_member(archive, name) for name in names]
            _refuse_bombs(members, _size_of(file))
            return tuple(_unpacked(archive, member) for member in members)
    except _BAD_ARCHIVE as fault:
        raise ArrayFaultError(f"not an .npz of plain arrays ({fault})") from fault


# What `zipfile` raises of archives that are cut short, changed somewhere, encrypted or exotic.
_BAD_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, KeyError),
    *(struct.error, IndexError, OverflowError, UnicodeDecodeError),
)


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    held = sorted(info.filename.removesuffix(".npy") for info in archive.infolist())
    if name not in held:
        more = ", ..." if len(held) > 10 else ""
        raise ArrayFaultError(f"no array {name!r}; it holds {', '.join(held[:10]) or 'none'}{more}")
    return archive.getinfo(f"{name}.npy")


def _refuse_bombs(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    total = sum(member.file_size for member in members)
    if total > max(MOST_UNPACKED, MOST_PACKED * size):
        raise ArrayFaultError(
            f"{size:,} bytes that unpack to {total:,} are no vectors; write it with numpy.savez"
        )


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    try:
        with archive.open(member) as file:
            return _array(file, member.file_size)
    except ArrayFaultError as fault:
        name = member.filename.removesuffix(".npy")
        raise ArrayFaultError(f"not an .npz of plain arrays (`{name}`: {fault})") from fault


def _array(file: IO[bytes], size: int, *, mapped: bool = False) -> NDArray[Any]:
    """The array of an open file of so many bytes."""
    header = _header(file)
    there = size - header.begin
    if header.bytes != there:
        raise ArrayFaultError(
            f"not a whole array: {_shaped(header)} takes {header.bytes:,} bytes, and there are "
            f"{there:,}; was it cut short?"
        )
    if mapped and there:
        order: Any = header.order
        return np.memmap(file, header.dtype, "r", header.begin, header.shape, order)
    flat = np.empty(math.prod(header.shape), header.dtype)
    _fill(flat.view(np.uint8).data, file)
    order = header.order
    return flat.reshape(header.shape, order=order)


def _fill(memory: memoryview, file: Any) -> None:
    done = 0
    while done < len(memory):
        read = file.readinto(memory[done:])
        if not read:
            raise ArrayFaultError(f"not a whole array: it ends after {done:,} bytes")
        done += read


def _header(file: IO[bytes]) -> _Header:
    start = file.read(8)
    if len(start) < 8 or start[:6] != _MAGIC or start[6] not in {1, 2}:
        raise ArrayFaultError("not an array of numpy's .npy format")
    wide = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(wide), "little")
    found = _HEADER.fullmatch(file.read(min(length, _MOST_HEADER)).decode("latin-1"))
    if length > _MOST_HEADER or not found:
        raise ArrayFaultError("not an array of plain numbers or texts")
    order = "F" if found["fortran"] == "True" else "C"
    return _Header(_dtype(found["kind"]), _shape(found["shape"]), order, 8 + wide + length)


def _dtype(name: str) -> np.dtype[Any]:
    try:
        kind: np.dtype[Any] = np.dtype(name)
    except (TypeError, ValueError, SyntaxError, MemoryError) as fault:
        raise ArrayFaultError(f"an array of unknown type {name!r}") from fault
    if kind.kind not in _KINDS or kind.itemsize == 0:
        raise ArrayFaultError(f"an array of type {kind}, not of plain numbers or texts")
    return kind


def _shape(text: str) -> tuple[int, ...]:
    sides = [side.strip() for side in text.split(",") if side.strip()]
    if len(sides) > MOST_DIMENSIONS or not all(s.isdigit() and len(s) < 19 for s in sides):
        raise ArrayFaultError(f"an array of shape ({text[:40]})")
    return tuple(map(int, sides))


def _shaped(header: _Header) -> str:
    return f"{header.dtype} of shape {header.shape}"


def _problem(
    array: NDArray[Any], shape: Sequence[int | None], dtypes: Collection[str], *, finite: bool
) -> str:
    """What is wrong with an array, empty if nothing is."""
    if array.dtype.name not in dtypes or not array.dtype.isnative:
        return f"numbers of type {array.dtype}; it must hold {' or '.join(sorted(dtypes))}"
    agree = len(shape) == array.ndim and all(
        wanted in {None, side} for wanted, side in zip(shape, array.shape, strict=True)
    )
    if not agree:
        wanted = ", ".join("n" if side is None else str(side) for side in shape)
        return f"an array of shape {array.shape}; it must be ({wanted})"
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        return "it holds numbers that are NaN or infinite"
    return ""


def _size_of(file: IO[bytes]) -> int:
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return size
