"""What decoding a picture may cost at worst, told from its header.

The figures are what Pillow's decoders were measured to take, rounded up. Formats whose libraries
look at a header of their own, which may promise less than it needs, are decoded in a process of
their own, which holds them to the estimate; so is what takes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from composir.errors import ImageTooLargeError
from composir.images import headers
from composir.images.bounds import MAX_PIXELS, MEMORY
from composir.images.exif import read_exif

SLOW_SECONDS = 2.0
"""What an estimate says takes longer is decoded where it can be stopped."""
SLOW_PYTHON_SECONDS = 0.5
"""Likewise for decoders in Python, which also hold up all other threads."""
MAX_PYTHON_PIXELS = 1 << 25

_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_PROCESS_BYTES = 48 << 20  # Python, Pillow and NumPy, before any picture
# Bytes a pixel of all that a decoder holds at once, its copies included.
_LIBRARY_BYTES = {"WEBP": 18, "AVIF": 16, "HEIF": 16, "JPEG2000": 24}
_PYTHON_BYTES = 12
_JXL_BYTES = 512 << 20  # its plugin decodes before it tells a size
# Nanoseconds a pixel and a byte of the file.
_PACE = {"JPEG": (6, 40), "PNG": (8, 5), "WEBP": (30, 40), "GIF": (5, 20), "TIFF": (12, 20)}
_OTHER_PACE = (6, 6)
_ROW_PACE, _SCAN_PACE, _DEEP_PACE, _FLOAT_PACE, _PYTHON_PACE = 100, 3, 20, 40, 1000
_ISOLATED = frozenset({"AVIF", "HEIF", "JPEG2000", "JXL"})
_PLAIN_TIFF = frozenset(
    {"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"}
    | {"tiff_ccitt", "group3", "group4"}
)
_JPEG_TIFF_PIXELS = 1 << 22


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate that is not to be exceeded."""

    memory: int  # bytes for pixels, decoder and result, in all processes that take part
    seconds: float  # on a usual computer
    is_isolated: bool  # whether to decode in a process of its own


def refuse_bomb(width: int, height: int) -> None:
    """Refuse to decode more pixels than memory is meant for."""
    if width * height > MAX_PIXELS:
        raise ImageTooLargeError(
            f"{width:,} x {height:,} pixels are too many to decode (at most {MAX_PIXELS:,})"
        )


def cost_before_opening(
    format_name: str, canvas: tuple[int, int], file_bytes: int, min_side: int | None
) -> Cost:
    """The cost of a format whose library takes the memory for all pixels when it opens a file.

    The canvas is width and height from the file's first bytes; (0, 0) where they do not tell.
    """
    refuse_bomb(*canvas)
    pixels = canvas[0] * canvas[1]
    decoder = _JXL_BYTES if format_name == "JXL" else pixels * _LIBRARY_BYTES[format_name]
    result = result_bytes(canvas, min_side)
    seconds = _seconds(format_name, canvas, file_bytes)
    is_isolated = format_name in _ISOLATED or seconds > SLOW_SECONDS
    return _affordable(decoder + 2 * result, seconds, is_isolated, canvas, file_bytes, result)


def cost_of(picture: Image.Image, file_bytes: int, min_side: int | None) -> Cost:
    """The cost of loading a picture that was just opened, and of making it RGB and upright.

    A JPEG is set to the smallest scale that will do.
    """
    size = picture.size
    scans = headers.jpeg_scans(picture) if picture.format == "JPEG" else 0
    if min_side is not None:
        picture.draft(None, (min_side, min_side))
    refuse_bomb(*(size if scans else picture.size))
    is_python = _is_python(picture)
    if is_python:
        _refuse_slow(picture)
    result = result_bytes(picture.size, min_side)
    memory = _decoder_bytes(picture, size, scans, is_python) + _finish_bytes(picture, result)
    name = picture.format or ""
    seconds = _seconds(name, size, file_bytes)
    seconds += _extra_seconds(picture, size, scans, is_python)
    slow = SLOW_PYTHON_SECONDS if is_python else SLOW_SECONDS
    is_isolated = name in _ISOLATED or seconds > slow or _is_odd_tiff(picture)
    return _affordable(memory, seconds, is_isolated, size, file_bytes, result)


def _affordable(
    memory: int,
    seconds: float,
    is_isolated: bool,
    size: tuple[int, int],
    file_bytes: int,
    result: int,
) -> Cost:
    if is_isolated:  # that process has a copy of the file, and this one of the result
        memory += file_bytes + result + _PROCESS_BYTES
    if memory > MEMORY:
        raise ImageTooLargeError(
            f"{size[0]:,} x {size[1]:,} pixels of this kind are too many to decode: they need "
            f"{memory >> 20:,} MiB (at most {MEMORY >> 20})"
        )
    return Cost(memory, seconds, is_isolated)


def shrinkage(size: tuple[int, int], min_side: int | None) -> int:
    """By how much a picture is shrunk whose short side need not exceed `min_side` pixels."""
    return max(1, min(size) // min_side) if min_side else 1


def result_bytes(size: tuple[int, int], min_side: int | None) -> int:
    """Memory of the RGB picture that comes out."""
    shrink = shrinkage(size, min_side)
    return _canvas_bytes((-(-size[0] // shrink), -(-size[1] // shrink)), "RGB")


def _canvas_bytes(size: tuple[int, int], mode: str) -> int:
    """Pillow's memory: rows of whole words, and a pointer to each."""
    row = size[0] * _PIXEL_BYTES.get(mode, 4)
    return size[1] * (row + -row % 4 + 8)


def _decoder_bytes(picture: Image.Image, size: tuple[int, int], scans: int, is_python: bool) -> int:
    pixels = picture.width * picture.height
    canvas = _canvas_bytes(picture.size, picture.mode)
    memory = canvas + (pixels * _PYTHON_BYTES if is_python else 0)
    memory = max(memory, pixels * _LIBRARY_BYTES.get(picture.format or "", 0))
    if scans:
        memory += headers.coefficient_bytes(getattr(picture, "layer", []), size)
    if picture.format == "TIFF":
        turned = canvas if headers.is_turned(picture) else 0
        memory += max(headers.tiff_buffer_bytes(picture), turned)
    return memory


def _finish_bytes(picture: Image.Image, result: int) -> int:
    """What is held beside the decoded picture: it as RGB, and that turned upright."""
    is_kept = picture.mode == "RGB" and not picture.has_transparency_data
    is_kept = is_kept and not picture.info.get("icc_profile")
    is_turned = read_exif(picture.info.get("exif") or b"").orientation > 1
    return (0 if is_kept else result) + (result if is_turned else 0)


def _seconds(format_name: str, size: tuple[int, int], file_bytes: int) -> float:
    a_pixel, a_byte = _PACE.get(format_name, _OTHER_PACE)
    return (size[0] * size[1] * a_pixel + size[1] * _ROW_PACE + file_bytes * a_byte) / 1e9


def _extra_seconds(
    picture: Image.Image, size: tuple[int, int], scans: int, is_python: bool
) -> float:
    pixels = picture.width * picture.height
    nanoseconds = scans * _SCAN_PACE * size[0] * size[1]
    if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
        nanoseconds += (_FLOAT_PACE if len(picture.mode) == 1 else _DEEP_PACE) * pixels
    if is_python:
        nanoseconds += _PYTHON_PACE * pixels
    return nanoseconds / 1e9


def _is_python(picture: Image.Image) -> bool:
    """Whether a decoder written in Python is at work: a hundred times slower than those in C."""
    tiles: list[Any] = getattr(picture, "tile", [])
    return any(tile.codec_name in Image.DECODERS for tile in tiles[:1])


def _refuse_slow(picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PYTHON_PIXELS:
        raise ImageTooLargeError(
            f"{picture.width:,} x {picture.height:,} pixels are too many for this kind of "
            f"{picture.format} file, which is slow to decode (at most {MAX_PYTHON_PIXELS:,})"
        )


def _is_odd_tiff(picture: Any) -> bool:
    """Whether libtiff hands a TIFF to another library, which may take what it likes."""
    if picture.format != "TIFF":
        return False
    compression = picture.info.get("compression", "raw")
    if compression == "jpeg":
        return bool(picture.width * picture.height > _JPEG_TIFF_PIXELS)
    return compression not in _PLAIN_TIFF
