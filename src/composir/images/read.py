"""Any picture to upright 8-bit sRGB, or a reason why not; never a crash, a hang or a flood.

Files are read by content with the formats of `formats`. JPEGs are decoded at a smaller
scale where the caller can do with less, and of several threads only one decodes a huge picture at
a time, so memory stays bounded. Animations and multi-page files give their first picture. Pillow's
settings are not changed; warnings of its own modules, and no others, are silenced while any thread
reads (before Python 3.14 there are no filters for one thread).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from threading import Lock
from typing import BinaryIO

from PIL import Image

from composir.data.files import UnfitFileError, open_regular
from composir.errors import ImageReadError
from composir.images.colour import to_srgb
from composir.images.exif import ExifFacts, read_exif
from composir.images.formats import (
    HEAD_BYTES,
    PictureFormat,
    quiet_pillow,
    recognise,
    refuse_bomb,
)
from composir.images.needs import lacking_in_pillow
from composir.types import DecodedImage, ImageInput

_MAX_FILE_BYTES = 1 << 29
_HUGE_PIXELS = 1 << 24
_one_huge_picture = Lock()

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(source: ImageInput, *, min_side: int | None = None) -> DecodedImage:
    """Read one picture.

    Safe to call from several threads at once.

    Args:
        source: A path, the bytes of a file, or a Pillow image (which is left as it is).
        min_side: The short side that is enough, in pixels: the picture may come smaller than the
            file's as long as its short side does not fall below. None: full size.

    Returns:
        The picture and what its file says about it.

    Raises:
        ImageReadError: If it cannot be read; the message is the reason, without the path.
    """
    if isinstance(source, Image.Image):
        with quiet_pillow(), _damage_reported(source.format or "Pillow"):
            return _from_pillow(source, min_side)
    if not isinstance(source, str | os.PathLike | bytes):
        raise ImageReadError(
            f"a picture is a path, the bytes of a file or a Pillow image, not "
            f"{type(source).__name__}"
        )
    with _opened(source) as stream:
        picture_format = recognise(stream.read(HEAD_BYTES))
        if need := lacking_in_pillow(picture_format.name):
            raise ImageReadError(f"a picture that needs {need}; upgrade Pillow", needs=need)
        stream.seek(0)
        with quiet_pillow(), _damage_reported(picture_format.name):
            return _decode(stream, picture_format, min_side)


def _decode(stream: BinaryIO, known: PictureFormat, min_side: int | None) -> DecodedImage:
    picture = known.open(stream)
    size = picture.size
    if min_side is not None:
        picture.draft(None, (min_side, min_side))
    # A progressive JPEG needs its coefficients at full size, whatever scale comes out.
    width, height = size if "progressive" in picture.info else picture.size
    refuse_bomb(width, height)
    with _one_huge_picture if width * height > _HUGE_PIXELS else nullcontext():
        picture.load()
        if known.name == "TIFF":
            # Its tags are EXIF, and Pillow has turned the picture upright by them already.
            facts = replace(read_exif(stream), orientation=1)
        else:
            facts = read_exif(picture.info.get("exif") or b"")
        return _finish(picture, size, facts, min_side, may_keep=True)


def _from_pillow(picture: Image.Image, min_side: int | None) -> DecodedImage:
    if 0 in picture.size:
        raise ImageReadError(f"no pixels ({picture.width} x {picture.height})")
    refuse_bomb(*picture.size)
    picture.load()
    facts = read_exif(picture.info.get("exif") or b"")
    return _finish(picture, picture.size, facts, min_side, may_keep=False)


def _finish(
    picture: Image.Image,
    size: tuple[int, int],
    facts: ExifFacts,
    min_side: int | None,
    *,
    may_keep: bool,
) -> DecodedImage:
    """Flatten, shrink and turn upright; keep the picture itself where that saves a copy."""
    shrink = max(1, min(picture.size) // min_side) if min_side else 1
    rgb = to_srgb(picture, shrink=shrink)
    if facts.orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[facts.orientation])
    if rgb is picture and not may_keep:
        rgb = rgb.copy()
    rgb.info.clear()  # orientation and profile no longer hold
    width, height = size if facts.orientation < 5 else size[::-1]
    return DecodedImage(
        rgb=rgb,
        width=width,
        height=height,
        format=picture.format or "Pillow",
        taken_at=facts.taken_at,
        camera=facts.camera,
    )


@contextmanager
def _damage_reported(format_name: str) -> Iterator[None]:
    """Turn what Pillow raises into a reason.

    Its plugins raise nearly anything on damaged data (OSError, SyntaxError, struct.error,
    IndexError, AttributeError, ...), so this is the one place that catches every exception;
    the original stays attached as the cause.
    """
    try:
        yield
    except ImageReadError:
        raise
    except MemoryError as error:
        raise ImageReadError(f"not enough memory to decode this {format_name} picture") from error
    except Exception as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, KeyError):
            detail = f"unknown value {detail}"
        detail = detail.replace("not identified by this driver", "a bad header, or no pixels")
        raise ImageReadError(
            f"damaged, incomplete or unsupported {format_name} file: {detail}"
        ) from error


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        _check_length(len(source))
        yield io.BytesIO(source)
        return
    try:
        stream = open_regular(source, limit=_MAX_FILE_BYTES)
    except FileNotFoundError:
        raise ImageReadError("no such file") from None
    except UnfitFileError as error:
        raise ImageReadError(error.strerror.replace("not a file", "not a picture")) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageReadError(f"cannot be opened: {reason}") from error
    with stream:
        _check_length(os.fstat(stream.fileno()).st_size)
        yield stream


def _check_length(length: int) -> None:
    if length == 0:
        raise ImageReadError("empty file (0 bytes)")
    if length > _MAX_FILE_BYTES:
        raise ImageReadError(
            f"file of {length / 2**20:,.0f} MiB is too large (at most {_MAX_FILE_BYTES >> 20} MiB)"
        )
