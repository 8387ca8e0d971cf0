"""The few EXIF facts that search needs, read without trusting the file.

Pillow's own reader parses every tag and warns about malformed blocks, which are common; this one
looks at six tags, checks every offset and stays silent: what cannot be read is not known.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from composir.images.tiff_tags import TiffReader, read_at

_ORIENTATION, _MAKE, _MODEL, _DATE_TIME = 0x0112, 0x010F, 0x0110, 0x0132
_EXIF_DIRECTORY, _DATE_TIME_ORIGINAL = 0x8769, 0x9003


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What EXIF says about a picture."""

    orientation: int = 1  # 1 (upright) to 8, as the standard numbers them
    taken_at: datetime | None = None  # `DateTimeOriginal`, else `DateTime`; without time zone
    camera: str | None = None  # maker and model, the maker named once


def read_exif(source: bytes | BinaryIO) -> ExifFacts:
    """Read a block of EXIF, or a TIFF file or camera raw, which have the same layout."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    reader = TiffReader.open(stream, _skip_prefix(stream))
    if reader is None:
        return ExifFacts()
    main = reader.directory(reader.first).entries
    inner = reader.directory(reader.integer(main.get(_EXIF_DIRECTORY))).entries
    orientation = reader.integer(main.get(_ORIENTATION))
    taken = _date(reader.raw((main | inner).get(_DATE_TIME_ORIGINAL)))
    return ExifFacts(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        taken_at=taken or _date(reader.raw(main.get(_DATE_TIME))),
        camera=_camera(_text(reader.raw(main.get(_MAKE))), _text(reader.raw(main.get(_MODEL)))),
    )


def _skip_prefix(stream: BinaryIO) -> int:
    base = 0
    while base < 12 and read_at(stream, base, 6) == b"Exif\0\0":
        base += 6
    return base


def _text(value: bytes) -> str:
    raw = value.split(b"\0", 1)[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:100]


def _date(value: bytes) -> datetime | None:
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
