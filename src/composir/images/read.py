"""Any picture to upright 8-bit sRGB, or a reason why not; never a crash, a hang or a flood.

Files are read by content with the formats of `formats`. JPEGs are decoded at a smaller scale where
the caller can do with less. What a picture may take is told from its header (`cost`) before it is
decoded; all threads together stay within one budget (`bounds`), and what may exceed its share or
take long is decoded in a process of its own (`bounded`). Animations and multi-page files give their
first picture. Pillow's settings are not changed; warnings of its own modules, and no others, are
silenced while any thread reads (before Python 3.14 there are no filters for one thread).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from PIL import Image

from composir.data.files import UnfitFileError, open_regular
from composir.errors import ImageReadError, ImageTooLargeError
from composir.images import bounds
from composir.images.colour import to_srgb
from composir.images.cost import (
    Cost,
    cost_before_opening,
    cost_of,
    refuse_bomb,
    result_bytes,
    shrinkage,
)
from composir.images.exif import ExifFacts, read_exif
from composir.images.formats import HEAD_BYTES, PictureFormat, check_format, quiet_pillow, recognise
from composir.images.png_chunks import without_metadata
from composir.images.raw import raw_facts
from composir.types import DecodedImage, ImageInput

_MAX_FILE_BYTES = 1 << 29

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
        return _read(stream, min_side, _within_limits)


def read_unbounded(content: bytes, *, min_side: int | None = None) -> DecodedImage:
    """Read one picture where memory and time of this whole process are limited from outside."""
    return _read(io.BytesIO(content), min_side, _without_limits)


def _read(
    stream: BinaryIO, min_side: int | None, decode: Callable[[_File], DecodedImage]
) -> DecodedImage:
    """Decode what a stream holds; a PNG again without its metadata, should that be at fault."""
    try:
        with _recognised(stream, min_side) as file:
            return decode(file)
    except _DamageError:
        bare = without_metadata(stream) if file.known.name == "PNG" else None
        if bare is None:
            raise
    with _recognised(bare, min_side) as file:
        return decode(file)


class _DamageError(ImageReadError):
    """A plugin of Pillow gave up, for whatever reason."""

    code = "damaged-image"


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is open and at its beginning, and of a known format."""

    stream: BinaryIO
    known: PictureFormat
    size: int
    min_side: int | None


@contextmanager
def _recognised(stream: BinaryIO, min_side: int | None) -> Iterator[_File]:
    known = recognise(stream)
    check_format(known.name)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    with quiet_pillow(), _damage_reported(known.name):
        yield _File(stream, known, size, min_side)


def _without_limits(file: _File) -> DecodedImage:
    picture = file.known.open(file.stream)
    size = picture.size
    if file.min_side is not None:
        picture.draft(None, (file.min_side, file.min_side))
    return _load(picture, size, file)


def _within_limits(file: _File) -> DecodedImage:
    """Decode here if that is safe, else elsewhere, when there is memory for it."""
    stream = bounds.TimedStream(file.stream, bounds.Deadline(bounds.SECONDS))
    timed = cast("BinaryIO", stream)
    picture, size, cost = _weighed(file, timed)
    if cost.is_isolated:
        picture = None
    with bounds.BUDGET.reserved(cost.memory):
        if cost.is_isolated:
            return _elsewhere(file, cost)
        stream.deadline = bounds.Deadline(bounds.SECONDS)  # waiting for others did not count
        if picture is None:
            picture = file.known.open(timed)
        return _load(picture, size, replace(file, stream=timed))


def _weighed(file: _File, timed: BinaryIO) -> tuple[Image.Image | None, tuple[int, int], Cost]:
    """The picture if it could be opened without cost, its size, and what decoding it costs."""
    if file.known.canvas is not None:
        canvas = file.known.canvas(timed.read(HEAD_BYTES))
        timed.seek(0)
        cost = cost_before_opening(file.known.name, canvas, file.size, file.min_side)
        return None, canvas, cost
    picture = file.known.open(timed)
    size = picture.size
    return picture, size, cost_of(picture, file.size, file.min_side)


def _elsewhere(file: _File, cost: Cost) -> DecodedImage:
    from composir.images.bounded import DECODERS, Job  # what most programs never need

    job = Job(file.stream, file.size, file.min_side, cost.memory)
    return DECODERS.decode(job, bounds.SECONDS)


def _load(picture: Image.Image, size: tuple[int, int], file: _File) -> DecodedImage:
    picture.load()
    image = _finish(picture, size, _facts(picture, file), file.min_side, may_keep=True)
    return replace(image, format="RAW") if file.known.name == "RAW" else image


def _facts(picture: Image.Image, file: _File) -> ExifFacts:
    if file.known.name == "TIFF":
        # Its tags are EXIF, and Pillow has turned the picture upright by them already.
        return replace(read_exif(file.stream), orientation=1)
    own = read_exif(picture.info.get("exif") or b"")
    return raw_facts(file.stream, own) if file.known.name == "RAW" else own


def _from_pillow(picture: Image.Image, min_side: int | None) -> DecodedImage:
    if 0 in picture.size:
        raise ImageReadError(f"no pixels ({picture.width} x {picture.height})")
    refuse_bomb(*picture.size)
    with bounds.BUDGET.reserved(2 * result_bytes(picture.size, min_side)):
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
    rgb = to_srgb(picture, shrink=shrinkage(picture.size, min_side))
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
        raise _DamageError(
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
        raise ImageTooLargeError(
            f"file of {length / 2**20:,.0f} MiB is too large (at most {_MAX_FILE_BYTES >> 20} MiB)"
        )
