"""Camera raws made on the spot: the containers that makers use, with a preview and some raw pixels.

The preview shows the scene of `pictures`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from PIL import Image

from tests.pictures import encoded, exif, quadrants

TAKEN = "2023:05:06 12:34:56"
_CFA, _OLD_JPEG, _NEW_JPEG = 32803, 6, 7
_SIZE = (1200, 800)
Value: TypeAlias = int | bytes | tuple[int, ...]


def preview(size: tuple[int, int] = _SIZE, orientation: int | None = None) -> bytes:
    """The JPEG that a camera adds."""
    options: dict[str, object] = {"exif": exif(orientation)} if orientation else {}
    return encoded(quadrants(*size), "JPEG", quality=95, **options)


def thumbnail() -> bytes:
    """A small one, of one colour, which must not be taken."""
    return encoded(Image.new("RGB", (160, 120), "magenta"), "JPEG")


@dataclass
class Tiff:
    """A TIFF file put together piece by piece.

    Attributes:
        order: `<` or `>`.
        magic: The first four bytes.
        skipped: Bytes between the header and the first piece.
    """

    order: str = "<"
    magic: bytes = b"II*\0"
    skipped: bytes = b""
    body: bytearray = field(default_factory=bytearray)

    def place(self, content: bytes) -> int:
        """Add bytes; where they are in the file."""
        at = 8 + len(self.skipped) + len(self.body)
        self.body += content + bytes(len(content) % 2)
        return at

    def directory(self, tags: Mapping[int, Value], following: int = 0) -> int:
        """Add a directory; numbers become LONG, bytes ASCII."""
        rows = b"".join(self._row(tag, value) for tag, value in sorted(tags.items()))
        count, link = (
            struct.pack(f"{self.order}H", len(tags)),
            struct.pack(f"{self.order}L", following),
        )
        return self.place(count + rows + link)

    def file(self, first: int) -> bytes:
        """The whole file."""
        return self.magic + struct.pack(f"{self.order}L", first) + self.skipped + bytes(self.body)

    def _row(self, tag: int, value: Value) -> bytes:
        if isinstance(value, bytes):
            at = self.place(value)
            return struct.pack(f"{self.order}HHLL", tag, 2, len(value), at)
        values = value if isinstance(value, tuple) else (value,)
        if len(values) > 1:
            at = self.place(struct.pack(f"{self.order}{len(values)}L", *values))
            return struct.pack(f"{self.order}HHLL", tag, 4, len(values), at)
        return struct.pack(f"{self.order}HHLL", tag, 4, 1, values[0])


def _camera(tiff: Tiff, orientation: int = 1) -> dict[int, Value]:
    inner = tiff.directory({0x9003: TAKEN.encode() + b"\0"})
    return {0x010F: b"Maker\0", 0x0110: b"Model 1\0", 0x0112: orientation, 0x8769: inner}


def _raw_pixels(tiff: Tiff) -> int:
    at = tiff.place(bytes(64))
    return tiff.directory({256: 8, 257: 8, 259: 1, 262: _CFA, 273: at, 279: 64})


def _jpeg_tags(tiff: Tiff, content: bytes) -> dict[int, int]:
    return {513: tiff.place(content), 514: len(content)}


def nef(order: str = "<", orientation: int = 1, content: bytes | None = None) -> bytes:
    """Nikon: a small picture in the main directory, the preview and raw pixels in two below it."""
    tiff = Tiff(order, b"II*\0" if order == "<" else b"MM\0*")
    below = tiff.directory({259: _OLD_JPEG, **_jpeg_tags(tiff, content or preview())})
    small = tiff.place(bytes(16 * 12 * 3))
    main = {256: 16, 257: 12, 258: 8, 259: 1, 262: 2, 273: small, 277: 3, 278: 12, 279: 576}
    return tiff.file(
        tiff.directory({**main, **_camera(tiff, orientation), 330: (below, _raw_pixels(tiff))})
    )


def dng() -> bytes:
    """Adobe: previews are strips of JPEG."""
    tiff = Tiff()
    content = preview()
    below = tiff.directory(
        {
            256: _SIZE[0],
            257: _SIZE[1],
            259: _NEW_JPEG,
            262: 6,
            273: tiff.place(content),
            279: len(content),
        }
    )
    small = thumbnail()
    main = {256: 160, 257: 120, 259: _NEW_JPEG, 262: 6, 273: tiff.place(small), 279: len(small)}
    return tiff.file(
        tiff.directory(
            {**main, **_camera(tiff), 330: (below, _raw_pixels(tiff)), 50706: 0x00000401}
        )
    )


def cr2() -> bytes:
    """Canon, old: the preview is the main directory, raw pixels (a lossless JPEG) the last."""
    tiff = Tiff(skipped=b"CR\2\0\0\0\0\0")
    lossless = b"\xff\xd8\xff\xc3\0\x0b\x0e\x10\0\x10\0\1\1\x11\0" + bytes(100)
    raw = tiff.directory({259: 6, 273: tiff.place(lossless), 279: len(lossless)})
    small = tiff.directory(_jpeg_tags(tiff, thumbnail()), raw)
    content = preview()
    main = {259: _OLD_JPEG, 273: tiff.place(content), 279: len(content)}
    first = tiff.directory({**main, **_camera(tiff)}, small)
    assert tiff.file(first)[8:10] == b"CR"
    return tiff.file(first)


def arw() -> bytes:
    """Sony: the preview hangs at the main directory."""
    tiff = Tiff()
    tags = {**_jpeg_tags(tiff, preview()), **_camera(tiff), 330: _raw_pixels(tiff)}
    small = tiff.directory(_jpeg_tags(tiff, thumbnail()))
    return tiff.file(tiff.directory({259: _OLD_JPEG, **tags}, small))


def pef() -> bytes:
    """Pentax: raw pixels first, the preview at the end of the chain."""
    tiff = Tiff(">", b"MM\0*")
    large = tiff.directory(_jpeg_tags(tiff, preview()))
    small = tiff.directory(_jpeg_tags(tiff, thumbnail()), large)
    at = tiff.place(bytes(64))
    main = {256: 8, 257: 8, 259: 65535, 262: _CFA, 273: at, 279: 64}
    return tiff.file(tiff.directory({**main, **_camera(tiff)}, small))


def rw2() -> bytes:
    """Panasonic: the preview is a tag's value."""
    tiff = Tiff(magic=b"IIU\0")
    return tiff.file(tiff.directory({0x002E: preview(), **_camera(tiff)}))


def orf() -> bytes:
    """Olympus: the preview is in the maker's own notes, the thumbnail in the chain."""
    tiff = Tiff(magic=b"IIRO")
    tiff.place(b"OLYMPUS\0II\3\0" + bytes(40) + preview())
    small = tiff.directory(_jpeg_tags(tiff, thumbnail()))
    return tiff.file(tiff.directory(_camera(tiff), small))


def raf() -> bytes:
    """Fuji: a header that says where the preview is, which knows what the raw does not."""
    block = exif(1, original=TAKEN, make="Maker", model="Model 1")
    content = encoded(quadrants(*_SIZE), "JPEG", quality=95, exif=block)
    head = b"FUJIFILMCCD-RAW 0201FF000000Camera".ljust(84, b"\0")
    return head + struct.pack(">LL", 148, len(content)) + bytes(56) + content + bytes(1000)


def cr3() -> bytes:
    """Canon, new: boxes as in a video, EXIF in some of them, the preview somewhere behind."""
    main, inner = Tiff(), Tiff()
    camera = {k: v for k, v in _camera(main, 1).items() if k != 0x8769}
    first = main.file(main.directory(camera))
    second = inner.file(inner.directory({0x9003: TAKEN.encode() + b"\0"}))
    boxes = _box(b"CMT1", first) + _box(b"CMT2", second) + _box(b"THMB", bytes(8) + thumbnail())
    movie = _box(b"moov", _box(b"uuid", bytes(16) + boxes))
    kinds = _box(b"ftyp", b"crx \0\0\0\1crx isom")
    return kinds + movie + _box(b"uuid", _box(b"PRVW", preview())) + _box(b"mdat", bytes(500))


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", 8 + len(content)) + name + content


RAWS: dict[str, Callable[[], bytes]] = {
    "nikon.nef": nef,
    "nikon-big-endian.nef": lambda: nef(">"),
    "adobe.dng": dng,
    "canon.cr2": cr2,
    "canon.cr3": cr3,
    "sony.arw": arw,
    "pentax.pef": pef,
    "panasonic.rw2": rw2,
    "olympus.orf": orf,
    "fuji.raf": raf,
    "samsung.srw": nef,
}
"""Raws by name."""
