"""The few EXIF facts that search needs, read without trusting the file.

Pillow's own reader parses every tag and warns about malformed blocks, which are common; this one
looks at six tags, checks every offset and stays silent: what cannot be read is not known.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

_ORIENTATION, _MAKE, _MODEL, _DATE_TIME = 0x0112, 0x010F, 0x0110, 0x0132
_EXIF_DIRECTORY, _DATE_TIME_ORIGINAL = 0x8769, 0x9003
_WANTED = frozenset({_ORIENTATION, _MAKE, _MODEL, _DATE_TIME, _EXIF_DIRECTORY, _DATE_TIME_ORIGINAL})
_UNIT_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # BYTE, ASCII, SHORT, LONG, UNDEFINED
_MAX_ENTRIES = 1024
_MAX_VALUE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What EXIF says about a picture.

    Attributes:
        orientation: 1 (upright) to 8, as the standard numbers them.
        taken_at: `DateTimeOriginal`, else `DateTime`; without time zone.
        camera: Maker and model, the maker named once.
    """

    orientation: int = 1
    taken_at: datetime | None = None
    camera: str | None = None


def read_exif(source: bytes | BinaryIO) -> ExifFacts:
    """Read a block of EXIF, or a TIFF file, which has the same layout.

    Args:
        source: The block, with or without the `Exif` prefix of JPEG, or a seekable stream of it.

    Returns:
        What could be read; the defaults where nothing could (BigTIFF included).
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    base = _skip_prefix(stream)
    header = _read_at(stream, base, 8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(header[:4])
    if order is None or len(header) < 8:
        return ExifFacts()
    reader = _Directories(stream, base, order)
    main = reader.values(struct.unpack(f"{order}L", header[4:])[0])
    inner = reader.values(reader.integer(main.get(_EXIF_DIRECTORY, b"")))
    orientation = reader.integer(main.get(_ORIENTATION, b""))
    return ExifFacts(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        taken_at=_date(inner.get(_DATE_TIME_ORIGINAL)) or _date(main.get(_DATE_TIME)),
        camera=_camera(_text(main.get(_MAKE)), _text(main.get(_MODEL))),
    )


@dataclass(frozen=True, slots=True)
class _Directories:
    stream: BinaryIO
    base: int
    order: str

    def values(self, offset: int) -> dict[int, bytes]:
        """Raw values of the wanted tags in the directory at an offset; 0 means none."""
        count_bytes = _read_at(self.stream, self.base + offset, 2) if offset else b""
        if len(count_bytes) < 2:
            return {}
        count = min(struct.unpack(f"{self.order}H", count_bytes)[0], _MAX_ENTRIES)
        table = _read_at(self.stream, self.base + offset + 2, 12 * count)
        found: dict[int, bytes] = {}
        for start in range(0, len(table) - 11, 12):
            tag, kind, length = struct.unpack_from(f"{self.order}HHL", table, start)
            size = _UNIT_BYTES.get(kind, 0) * length
            if tag in _WANTED and 0 < size <= _MAX_VALUE_BYTES:
                found.setdefault(tag, self._value(table[start + 8 : start + 12], size))
        return found

    def _value(self, field: bytes, size: int) -> bytes:
        if size <= 4:
            return field[:size]
        (offset,) = struct.unpack(f"{self.order}L", field)
        return _read_at(self.stream, self.base + offset, size)

    def integer(self, value: bytes) -> int:
        """First number of a BYTE, SHORT or LONG value; 0 where there is none."""
        width = 4 if len(value) >= 4 else 2 if len(value) >= 2 else len(value)
        return int.from_bytes(value[:width], "little" if self.order == "<" else "big")


def _skip_prefix(stream: BinaryIO) -> int:
    base = 0
    while base < 12 and _read_at(stream, base, 6) == b"Exif\0\0":
        base += 6
    return base


def _read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size)


def _text(value: bytes | None) -> str:
    raw = (value or b"").split(b"\0", 1)[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:100]


def _date(value: bytes | None) -> datetime | None:
    text = _text(value).replace("T", " ")[:19]
    try:
        moment = datetime.strptime(text.replace("-", ":").replace("/", ":"), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return moment if 1800 <= moment.year <= 2200 else None


def _camera(make: str, model: str) -> str | None:
    maker = make.split(" ", maxsplit=1)[0].casefold()
    if maker and model.casefold().startswith(maker):
        return model
    return f"{make} {model}".strip() or None
