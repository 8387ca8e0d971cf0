"""Looks at the parts of JPEG, TIFF, WebP files that tell what decoding them takes.

They are read straight from the file: Pillow either does not look at them or believes them.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image

from composir.errors import ImageReadError
from composir.images.tiff_tags import TiffReader

_CHUNK = 1 << 20
_SCAN = b"\xff\xda"
_MOST_TAG_VALUES = 1 << 20
_MOST_TAG_BYTES = 64 << 20
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323
_PHOTOMETRIC, _YCBCR = 262, 6
_BYTE_KINDS = frozenset({1, 2, 6, 7})


def jpeg_scans(picture: Any) -> int:
    """Count the scans of a JPEG whose picture comes in several, as in a progressive one."""
    stream: BinaryIO = picture.fp
    start = stream.tell()
    first = stream.read(3)
    is_whole = len(first) == 3 and first[2] >= picture.layers
    is_usual = is_whole and "progressive" not in picture.info
    scans = 0 if is_usual else 1 + _count(stream, _SCAN)
    stream.seek(start)
    return scans


def _count(stream: BinaryIO, marker: bytes) -> int:
    found, last = 0, b""
    while chunk := stream.read(_CHUNK):
        found += chunk.count(marker) + (last + chunk[:1]).count(marker)
        last = chunk[-1:]
    return found


def coefficient_bytes(layers: list[tuple[int, int, int, int]], size: tuple[int, int]) -> int:
    """Memory of a JPEG of several scans: 16 bits a coefficient, at full size whatever comes out."""
    across = max((layer[1] for layer in layers), default=1) or 1
    down = max((layer[2] for layer in layers), default=1) or 1
    share = sum(layer[1] * layer[2] / (across * down) for layer in layers)
    return int(2 * size[0] * size[1] * share)


def refuse_tag_flood(stream: BinaryIO) -> None:
    """Refuse a TIFF whose first directory would become gigabytes of Python numbers."""
    reader = TiffReader.open(stream)
    entries = reader.directory(reader.first).entries if reader else {}
    for tag, entry in entries.items():
        if entry.count > (_MOST_TAG_BYTES if entry.kind in _BYTE_KINDS else _MOST_TAG_VALUES):
            raise ImageReadError(f"a TIFF whose tag {tag} has {entry.count:,} values")


def tiff_buffer_bytes(picture: Any) -> int:
    """Memory that libtiff takes for one strip or tile, which may be larger than the picture."""
    tags = picture.tag_v2
    if picture.tile and picture.tile[0].codec_name != "libtiff":
        return 0
    width, height = _number(tags.get(_TILE_WIDTH)), _number(tags.get(_TILE_LENGTH))
    if not width:
        width, rows = picture.width, _number(tags.get(_ROWS_PER_STRIP))
        height = min(rows, picture.height) if rows else picture.height
    bits = tags.get(258, (8,))
    bits = bits if isinstance(bits, tuple) else (bits,)
    # libtiff makes four samples of the three of YCbCr.
    samples = 4 if tags.get(_PHOTOMETRIC) == _YCBCR else _number(tags.get(277)) or 1
    return width * height * samples * max(1, max(map(_number, bits)) // 8)


def _number(value: object) -> int:
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) and value > 0 else 0


def webp_canvas(head: bytes) -> tuple[int, int]:
    """Width and height of a WebP from its first 30 bytes."""
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = head[26:28], head[28:30]
    return int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF


def is_turned(picture: Image.Image) -> bool:
    """Whether Pillow is going to turn a TIFF upright, for which it needs a second canvas."""
    tags: Any = getattr(picture, "tag_v2", {})
    return _number(tags.get(274, 1)) > 1
