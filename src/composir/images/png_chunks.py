"""A PNG without the chunks that say nothing about its pixels, for when one of those is in the way.

Pillow refuses a whole file for one chunk of text, XMP or colour profile that is damaged or unpacks
to more than a megabyte.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

from composir.images.tiff_tags import read_at

_SIGNATURE_BYTES = 8
_MAX_CHUNKS = 1 << 16
_MAX_METADATA_BYTES = 1 << 20
_TRANSPARENCY, _PROFILE, _EXIF = b"tRNS", b"iCCP", b"eXIf"


def without_metadata(stream: BinaryIO) -> BinaryIO | None:
    """The same PNG in memory with nothing but what is needed; None where nothing can be left out.

    A sound profile and EXIF of usual size are kept.
    """
    kept, is_shorter = [read_at(stream, 0, _SIGNATURE_BYTES)], False
    place = _SIGNATURE_BYTES
    for _ in range(_MAX_CHUNKS):
        head = read_at(stream, place, 8)
        if len(head) < 8:
            break
        length, name = struct.unpack(">L4s", head)
        if _is_needed(stream, place, length, name):
            kept.append(read_at(stream, place, 12 + length))
        else:
            is_shorter = True
        place += 12 + length
    return io.BytesIO(b"".join(kept)) if is_shorter else None


def _is_needed(stream: BinaryIO, place: int, length: int, name: bytes) -> bool:
    is_critical = not name[0] & 0x20  # its first letter is a capital
    if is_critical or name == _TRANSPARENCY:
        return True
    if name not in {_PROFILE, _EXIF} or length > _MAX_METADATA_BYTES:
        return False
    body, checksum = read_at(stream, place + 8, length), read_at(stream, place + 8 + length, 4)
    if checksum != struct.pack(">L", zlib.crc32(name + body)):
        return False
    return name == _EXIF or _unpacks(body.partition(b"\0")[2][1:])


def _unpacks(packed: bytes) -> bool:
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, _MAX_METADATA_BYTES)
    except zlib.error:
        return False
    return unpacker.eof
