"""Which picture formats are read, how their content is recognised, and how each is opened.

The list is an explicit choice: photographs and drawings as they lie on disks. Left out are formats
that run other programs (EPS), that cannot be recognised by content (TGA), and icons. Camera raws
are read through the preview inside them.
The file's content decides, never its name, and a file reaches only the one plugin that it is for.
What a machine lacks to read a format, an `ImageReadError` names as `needs`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any, BinaryIO

from PIL import Image

from composir.errors import ImageReadError, MissingExtraError
from composir.images.headers import refuse_tag_flood, webp_canvas
from composir.images.raw import RAW_SUFFIXES, is_raw_tiff, preview

HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format that can be read."""

    name: str  # Pillow's name, e.g. `JPEG`; `RAW` for camera raws
    suffixes: tuple[str, ...]  # endings that files of this format go by, lower case
    matches: Callable[[bytes], bool]  # whether the first bytes of a file are of this format
    # Reads the header from a stream and gives a picture whose pixels are not loaded yet.
    open: Callable[[BinaryIO], Image.Image]
    # For libraries that take the memory for all pixels when they open a file: width and height from
    # the first bytes.
    canvas: Callable[[bytes], tuple[int, int]] | None = None


def recognise(stream: BinaryIO) -> PictureFormat:
    """Find the format of a file."""
    head = stream.read(HEAD_BYTES)
    for picture_format in FORMATS:
        if picture_format.matches(head):
            if picture_format.name == "TIFF" and is_raw_tiff(stream):
                return _RAW
            return picture_format
    raise ImageReadError(_what_it_is(head))


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about malformed metadata to ourselves while a picture is read.

    Python has no filters for one thread alone before 3.14, and `warnings.catch_warnings` corrupts
    them when threads overlap. So one filter, for Pillow's own modules and nothing else, is there
    while at least one thread reads, and is then taken out of the very list that it was put in.
    """
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


class _QuietFilter:
    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._filter = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
        self._filters: Any = None

    def enter(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._filters = warnings.filters
                self._filters.insert(0, self._filter)

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and self._filter in self._filters:
                self._filters.remove(self._filter)


_QUIET = _QuietFilter()


def _plugin(module: str, reader: str) -> Callable[[BinaryIO], Image.Image]:
    """Open with a plugin's class directly: no guessing, and no limits that are global settings."""

    def open_(stream: BinaryIO) -> Image.Image:
        picture: Image.Image = getattr(import_module(f"PIL.{module}"), reader)(stream)
        return picture

    return open_


def _open_jpeg(stream: BinaryIO) -> Image.Image:
    from PIL.JpegImagePlugin import JpegImageFile

    # Not Pillow's factory, which looks for further pictures behind the first.
    picture = JpegImageFile(stream)
    if picture.mode == "CMYK" and "adobe" not in picture.info:
        # Only Adobe's files store ink inverted; Pillow takes all files for Adobe's.
        picture.tile = [tile._replace(args=("CMYK", "")) for tile in picture.tile]
    return picture


def _open_tiff(stream: BinaryIO) -> Image.Image:
    refuse_tag_flood(stream)
    stream.seek(0)
    return _plugin("TiffImagePlugin", "TiffImageFile")(stream)


def _open_raw(stream: BinaryIO) -> Image.Image:
    return _open_jpeg(preview(stream))


def _open_heif(stream: BinaryIO) -> Image.Image:
    from pillow_heif import HeifImageFile

    # Untyped, and not always installed: through Any, the checker says the same either way.
    make: Callable[[BinaryIO], Image.Image] = HeifImageFile
    return make(stream)


def _open_jxl(stream: BinaryIO) -> Image.Image:
    plugin = import_module("pillow_jxl.JpegXLImagePlugin")
    make: Callable[[BinaryIO], Image.Image] = plugin.JXLImageFile
    return make(stream)


# Fuji's, Panasonic's and Olympus'; most other makers' begin like any TIFF.
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR")
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}


def _brands(head: bytes) -> set[bytes]:
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[start : start + 4] for start in (8, *range(16, end - 3, 4))}


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _is_pnm(head: bytes) -> bool:
    return len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456fy" and head[2:3].isspace()


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_avif(head: bytes) -> bool:
    return bool(_brands(head) & _AVIF_BRANDS)


def _is_raw(head: bytes) -> bool:
    is_cr2 = head[:4] == b"II*\0" and head[8:10] == b"CR"
    return is_cr2 or b"crx " in _brands(head) or head.startswith(_RAW_SIGNATURES)


def _is_heif(head: bytes) -> bool:
    return bool(_brands(head) & _HEIF_BRANDS) and not _is_avif(head)


_RAW = PictureFormat("RAW", RAW_SUFFIXES, _is_raw, _open_raw)

FORMATS = (
    PictureFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo"),
        _starts(b"\xff\xd8\xff"),
        _open_jpeg,
    ),
    PictureFormat(
        "PNG",
        (".png", ".apng"),
        _starts(b"\x89PNG\r\n\x1a\n"),
        _plugin("PngImagePlugin", "PngImageFile"),
    ),
    PictureFormat(
        "WEBP",
        (".webp",),
        _is_webp,
        _plugin("WebPImagePlugin", "WebPImageFile"),
        canvas=webp_canvas,
    ),
    PictureFormat(
        "GIF",
        (".gif",),
        _starts(b"GIF87a", b"GIF89a"),
        _plugin("GifImagePlugin", "GifImageFile"),
    ),
    PictureFormat(
        "AVIF",
        (".avif", ".avifs"),
        _is_avif,
        _plugin("AvifImagePlugin", "AvifImageFile"),
    ),
    _RAW,
    PictureFormat("HEIF", (".heic", ".heif", ".hif"), _is_heif, _open_heif),
    PictureFormat(
        "TIFF",
        (".tif", ".tiff"),
        _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        _open_tiff,
    ),
    PictureFormat(
        "BMP", (".bmp", ".dib"), _starts(b"BM"), _plugin("BmpImagePlugin", "BmpImageFile")
    ),
    PictureFormat(
        "PPM",
        (".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
        _is_pnm,
        _plugin("PpmImagePlugin", "PpmImageFile"),
    ),
    PictureFormat(
        "JPEG2000",
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        _starts(b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
        _plugin("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    ),
    PictureFormat(
        "JXL",
        (".jxl",),
        _starts(b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"),
        _open_jxl,
        canvas=lambda _: (0, 0),  # written in single bits, and not always near the beginning
    ),
    PictureFormat("PSD", (".psd",), _starts(b"8BPS"), _plugin("PsdImagePlugin", "PsdImageFile")),
    PictureFormat("QOI", (".qoi",), _starts(b"qoif"), _plugin("QoiImagePlugin", "QoiImageFile")),
)
"""All formats that are read, the most frequent first."""

PICTURE_SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
"""File name endings, lower case, under which a folder is searched for pictures."""

_LOOKS_LIKE = (
    (re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"\s*(<\?xml|<svg)", re.IGNORECASE), "an SVG or XML document"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript document"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"[\t\r\n\x20-\x7e]+\Z"), "a text file"),
    (re.compile(rb"\0+\Z"), "a file of zeros"),
)


def _what_it_is(head: bytes) -> str:
    for pattern, name in _LOOKS_LIKE:
        if pattern.match(head):
            return f"{name}, not a picture"
    known = ", ".join(picture_format.name for picture_format in FORMATS)
    return f"not a picture in a known format ({known})"


PILLOW_HEIF = "pillow-heif"
PILLOW_JXL = "pillow-jxl-plugin"
DECODER_PROCESS = "a process to decode in"
_MODULES = {PILLOW_HEIF: "pillow_heif", PILLOW_JXL: "pillow_jxl"}
_PLUGINS = {
    "HEIF": ("a HEIC picture", PILLOW_HEIF, "heif"),
    "JXL": ("a JPEG XL picture", PILLOW_JXL, "jxl"),
}
_PILLOW_WITH = {
    "WEBP": ("Pillow with WebP", "webp"),
    "AVIF": ("Pillow with AVIF", "avif"),
    "JPEG2000": ("Pillow with JPEG 2000", "jpg_2000"),
}


def is_there(need: str) -> bool:
    """Whether what an `ImageReadError` needs can be used now."""
    if need == DECODER_PROCESS:  # the system was short of something for a moment
        return True
    if need in _MODULES:
        return find_spec(_MODULES[need]) is not None
    return any(need == name and _pillow_has(feature) for name, feature in _PILLOW_WITH.values())


def check_format(format_name: str) -> None:
    """Refuse a format that this machine cannot read."""
    if format_name in _PLUGINS:
        what, package, extra = _PLUGINS[format_name]
        if not is_there(package):
            raise ImageReadError(f"{what}: {MissingExtraError(package, extra)}", needs=package)
    if format_name in _PILLOW_WITH:
        need = _PILLOW_WITH[format_name][0]
        if not is_there(need):
            raise ImageReadError(f"a picture that needs {need}; upgrade Pillow", needs=need)


def _pillow_has(feature: str) -> bool:
    from PIL import features

    return bool(features.check(feature))
