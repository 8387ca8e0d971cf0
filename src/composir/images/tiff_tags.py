"""The directories of a TIFF file, EXIF block or camera raw, read without trusting the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_UNIT_BYTES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},
}
_INTEGERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}
_MAX_ENTRIES = 1024
_ORDERS = {b"II": "<", b"MM": ">"}
# TIFF, BigTIFF, and what Olympus and Panasonic write in their place.
_MAGICS = (b"*\0", b"\0*", b"+\0", b"\0+", b"RO", b"RS", b"OR", b"SR", b"U\0")


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory."""

    kind: int  # number of its type, as the standard has it
    count: int  # values of that type
    size: int  # bytes of all values; 0 where the type is unknown
    field: bytes  # bytes that hold the values, or where they are


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: its tags, and where the next of the chain is (0: there is none)."""

    entries: dict[int, Entry]
    next: int


@dataclass(frozen=True, slots=True)
class TiffReader:
    """Reads directories at offsets that the file names; every one of them may be wrong."""

    stream: BinaryIO
    base: int
    order: str
    is_big: bool = False
    first: int = 0

    @classmethod
    def open(cls, stream: BinaryIO, base: int = 0) -> TiffReader | None:
        """Look for the header; None where there is none."""
        head = read_at(stream, base, 16)
        order = _ORDERS.get(head[:2])
        if order is None or head[2:4] not in _MAGICS or len(head) < 8:
            return None
        if b"+" not in head[2:4]:
            return cls(stream, base, order, first=struct.unpack(f"{order}L", head[4:8])[0])
        if len(head) < 16:
            return None
        return cls(stream, base, order, True, struct.unpack(f"{order}Q", head[8:16])[0])

    def directory(self, offset: int) -> Directory:
        """The directory at an offset; 0 means none, and so does one that cannot be read."""
        width, head = (20, "Q") if self.is_big else (12, "H")
        start = offset + struct.calcsize(f"{self.order}{head}")
        count_bytes = read_at(self.stream, self.base + offset, start - offset) if offset else b""
        if len(count_bytes) < start - offset:
            return Directory({}, 0)
        count = min(struct.unpack(f"{self.order}{head}", count_bytes)[0], _MAX_ENTRIES)
        table = read_at(self.stream, self.base + start, width * count)
        entries: dict[int, Entry] = {}
        for at in range(0, len(table) - width + 1, width):
            tag, entry = self._entry(table[at : at + width])
            entries.setdefault(tag, entry)
        after = read_at(self.stream, self.base + start + width * count, 8 if self.is_big else 4)
        return Directory(entries, self._offset(after))

    def raw(self, entry: Entry | None, at_most: int = 1024) -> bytes:
        """The bytes of a tag's values; none where there is no tag, or more than `at_most`."""
        if entry is None or not 0 < entry.size <= at_most:
            return b""
        if entry.size <= len(entry.field):
            return entry.field[: entry.size]
        return read_at(self.stream, self.base + self._offset(entry.field), entry.size)

    def place(self, entry: Entry) -> int:
        """Where the values of a tag begin; only for those that do not fit into its field."""
        return self._offset(entry.field)

    def integers(self, entry: Entry | None, at_most: int = 64) -> tuple[int, ...]:
        """The first values of a tag of whole numbers; none where it is not one."""
        letter = _INTEGERS.get(entry.kind) if entry else None
        if entry is None or letter is None:
            return ()
        size = struct.calcsize(f"={letter}")
        count = min(entry.count, at_most)
        wanted = Entry(entry.kind, count, size * count, entry.field)
        if entry.size > len(entry.field) >= wanted.size:  # lies elsewhere, though it would fit
            data = read_at(self.stream, self.base + self.place(entry), wanted.size)
        else:
            data = self.raw(wanted)
        return struct.unpack(
            f"{self.order}{len(data) // size}{letter}", data[: len(data) // size * size]
        )

    def integer(self, entry: Entry | None) -> int:
        """The first value of a tag of whole numbers; 0 where there is none."""
        return next(iter(self.integers(entry, 1)), 0)

    def _entry(self, row: bytes) -> tuple[int, Entry]:
        form, start = ("HHQ", 12) if self.is_big else ("HHL", 8)
        tag, kind, count = struct.unpack_from(f"{self.order}{form}", row)
        return tag, Entry(kind, count, _UNIT_BYTES.get(kind, 0) * count, row[start:])

    def _offset(self, field: bytes) -> int:
        if len(field) < (8 if self.is_big else 4):
            return 0
        letter = "Q" if self.is_big else "L"
        offset: int = struct.unpack(f"{self.order}{letter}", field)[0]
        return offset


def read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    """Bytes at an offset, fewer at the end of the stream."""
    try:
        stream.seek(offset)
    except (OSError, OverflowError, ValueError):  # beyond what any file can have
        return b""
    return stream.read(size)
