"""What a decoder process and the one that it works for say to each other.

A message is its length in four bytes, a JSON object, and then as many raw bytes as both sides
know from that object.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import IO, Any

from PIL import Image

_LARGEST_MESSAGE = 1 << 20
_CHUNK = 1 << 20
_STRIP_PIXELS = 1 << 20


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write a message."""
    text = json.dumps(message).encode()
    stream.write(struct.pack("<L", len(text)) + text)


def receive(stream: IO[bytes]) -> dict[str, Any]:
    """Read a message."""
    (length,) = struct.unpack("<L", read_exactly(stream, 4))
    if length > _LARGEST_MESSAGE:
        raise ValueError(f"a message of {length} bytes")
    message = json.loads(read_exactly(stream, length))
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")  # noqa: TRY004 - what it holds is wrong
    return message


def read_exactly(stream: IO[bytes], size: int) -> bytes:
    """Read so many bytes."""
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    """Copy so many bytes."""
    while size:
        chunk = read_exactly(source, min(size, _CHUNK))
        target.write(chunk)
        size -= len(chunk)


def send_pixels(stream: IO[bytes], rgb: Image.Image) -> None:
    """Write the pixels of an RGB picture, so that no second copy of all is ever there."""
    for box in _strips(rgb.size):
        stream.write(rgb.crop(box).tobytes())
    stream.flush()


def receive_pixels(stream: IO[bytes], size: tuple[int, int]) -> Image.Image:
    """Read the pixels of an RGB picture."""
    rgb = Image.new("RGB", size)
    for box in _strips(size):
        left, top, right, bottom = box
        part = (right - left, bottom - top)
        pixels = read_exactly(stream, 3 * part[0] * part[1])
        rgb.paste(Image.frombytes("RGB", part, pixels), box)
    return rgb


def _strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    columns = min(width, _STRIP_PIXELS)
    rows = max(1, _STRIP_PIXELS // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield left, top, min(left + columns, width), min(top + rows, height)
