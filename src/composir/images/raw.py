"""Camera raws, through the preview that the camera has put into them.

Nothing is developed: cameras store a JPEG of what they showed, mostly of full size, beside the raw
pixels. Most raws are TIFF files with a directory of their own for it; where the preview is not
listed in one (Olympus, CR3), the file is searched for JPEGs. The largest is taken.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO, cast

from composir.errors import ImageReadError
from composir.images.exif import ExifFacts, read_exif
from composir.images.tiff_tags import Directory, TiffReader, read_at

RAW_SUFFIXES = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".orf"),
    *(".rw2", ".raf", ".pef", ".srw"),
)

_COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _STRIP_LENGTHS = 259, 262, 273, 279
_DIRECTORIES, _JPEG_OFFSET, _JPEG_LENGTH = 330, 513, 514
_PANASONIC_JPEG, _DNG_VERSION = 0x002E, 50706
_RAW_PIXELS = frozenset({32803, 34892})  # of a colour filter array, and of one that was filled in
_JPEG_COMPRESSIONS = frozenset({6, 7})
_MOST_DIRECTORIES = 64
_LARGE_SIDE = 1024
_CHUNK = 1 << 20
_START = b"\xff\xd8\xff"
_MOST_FOUND = 256
_MOST_MARKERS = 64
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # those that Pillow decodes: raw pixels may be 0xC3
_CR3_HEAD_BYTES = 1 << 16


def is_raw_tiff(stream: BinaryIO) -> bool:
    """Whether a file that begins like a TIFF holds a camera's raw pixels."""
    reader = TiffReader.open(stream)
    if reader is None:
        return False
    directories = list(_directories(reader))
    return any(
        reader.integer(directory.entries.get(_PHOTOMETRIC)) in _RAW_PIXELS
        or _DNG_VERSION in directory.entries
        for directory in directories
    )


def preview(stream: BinaryIO) -> BinaryIO:
    """The largest JPEG in a camera raw."""
    best = max(_sized(stream, _listed_places(stream)), default=(0, 0, 0))
    if best[1] < _LARGE_SIDE:
        best = max([best, *_sized(stream, _places_found(stream))])
    if not best[0]:
        raise ImageReadError("a camera raw without a preview inside; export it as JPEG or TIFF")
    return cast("BinaryIO", _Tail(stream, best[2]))


def raw_facts(stream: BinaryIO, of_preview: ExifFacts) -> ExifFacts:
    """What a raw says about its picture, and where it is silent, its preview."""
    is_cr3 = read_at(stream, 4, 8) == b"ftypcrx "
    facts = _cr3_facts(stream) if is_cr3 else read_exif(stream)
    return ExifFacts(
        orientation=facts.orientation if facts.orientation != 1 else of_preview.orientation,
        taken_at=facts.taken_at or of_preview.taken_at,
        camera=facts.camera or of_preview.camera,
    )


def _cr3_facts(stream: BinaryIO) -> ExifFacts:
    """Canon's boxes CMT1 and CMT2 are the main and the EXIF directory, each a TIFF of its own."""
    head = read_at(stream, 0, _CR3_HEAD_BYTES)
    main, inner = (_exif_of_box(head, name) for name in (b"CMT1", b"CMT2"))
    return replace(main, taken_at=inner.taken_at or main.taken_at)


def _exif_of_box(head: bytes, name: bytes) -> ExifFacts:
    at = head.find(name)
    return read_exif(head[at + 4 :]) if at >= 0 else ExifFacts()


def _directories(reader: TiffReader) -> Iterator[Directory]:
    waiting, seen = [reader.first], set[int]()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        directory = reader.directory(offset)
        yield directory
        waiting += [directory.next, *reader.integers(directory.entries.get(_DIRECTORIES))]


def _sized(stream: BinaryIO, places: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Pixels, long side and place of the JPEGs at some places; zeros where there is none."""
    for place in places:
        width, height = _jpeg_size(stream, place)
        yield width * height, max(width, height), place


def _listed_places(stream: BinaryIO) -> Iterator[int]:
    """Where directories, or Fuji's header, tell of a JPEG."""
    head = read_at(stream, 0, 92)
    if head.startswith(b"FUJIFILMCCD-RAW") and len(head) == 92:
        yield struct.unpack(">L", head[84:88])[0]
    reader = TiffReader.open(stream)
    if reader is None:
        return
    for directory in _directories(reader):
        tags = directory.entries
        yield reader.integer(tags.get(_JPEG_OFFSET)) if _JPEG_LENGTH in tags else 0
        if _PANASONIC_JPEG in tags:
            yield reader.place(tags[_PANASONIC_JPEG])
        is_jpeg = reader.integer(tags.get(_COMPRESSION)) in _JPEG_COMPRESSIONS
        strips = reader.integers(tags.get(_STRIP_OFFSETS))
        if is_jpeg and len(strips) == 1:
            yield strips[0]


def _places_found(stream: BinaryIO) -> Iterator[int]:
    start, found, overlap = 0, 0, len(_START) - 1
    while chunk := read_at(stream, start, _CHUNK):
        at = chunk.find(_START)
        while at >= 0:
            yield start + at
            found += 1
            if found == _MOST_FOUND:
                return
            at = chunk.find(_START, at + 1)
        if len(chunk) < _CHUNK:
            return
        start += len(chunk) - overlap


def _jpeg_size(stream: BinaryIO, place: int) -> tuple[int, int]:
    """Width and height of the JPEG at a place; (0, 0) where there is none that can be read."""
    if not place or read_at(stream, place, 3) != _START:
        return 0, 0
    place += 2
    for _ in range(_MOST_MARKERS):
        head = read_at(stream, place, 9)
        if len(head) < 9 or head[0] != 0xFF:
            return 0, 0
        if head[1] in _FRAMES:
            height, width = struct.unpack(">HH", head[5:9])
            return (width, height) if head[4] == 8 else (0, 0)
        place += 2 + int.from_bytes(head[2:4], "big")
    return 0, 0


class _Tail(io.BufferedIOBase):
    """A stream from some place on."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        super().__init__()
        self._stream, self._start, self._at = stream, start, 0

    def read(self, size: int | None = -1) -> bytes:
        self._stream.seek(self._start + self._at)
        content = self._stream.read(-1 if size is None else size)
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            self._at = self._stream.seek(offset, io.SEEK_END) - self._start
        else:
            self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
