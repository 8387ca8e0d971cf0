"""One file in: its bytes hashed, decoded, prepared for the model, and signed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

from composir.data.files import read_regular
from composir.data.object_store import read_object
from composir.data.remote_paths import is_remote
from composir.errors import ImageReadError
from composir.gallery.duplicates import sign_picture
from composir.gallery.known import ContentSet, content_key
from composir.gallery.rows import Picture, Place, hash_content
from composir.images import read_image
from composir.images.bounds import MemoryBudget
from composir.images.containers import opened
from composir.images.formats import DECODER_PROCESS
from composir.images.preprocess import PreprocessSpec
from composir.references import LARGEST_FILE
from composir.types import DecodedImage, PixelArray

_THUMBNAIL_SIDE = 256
# What the files take that are being read; decoding has a budget of its own.
_FILES = MemoryBudget(LARGEST_FILE + 128 * 2**20)
_QUALITY = 82


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A file with content that the gallery does not have: to be encoded."""

    place: Place
    picture: Picture  # what it shows
    pixels: PixelArray  # (size, size, 3) uint8, the model's input


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A file with content that the gallery has, or will have before this run ends."""

    place: Place
    content_hash: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that gave no picture."""

    place: Place
    reason: str
    # Whether the file's content is at fault (an old row of it must go), not the way to it (disk,
    # permissions: an old row stays).
    is_picture_gone: bool


ReadFile: TypeAlias = NewPicture | KnownPicture | Unreadable


def enough_side(*specs: PreprocessSpec) -> int | None:
    """The short side in pixels that serves model inputs and thumbnail; None for full size."""
    sides = [spec.min_side for spec in specs]
    return None if None in sides else max(_THUMBNAIL_SIDE, *filter(None, sides))


class FileReader:
    """Reads files; called from several threads at once."""

    def __init__(self, spec: PreprocessSpec, contents: ContentSet) -> None:
        """Read for a model's specification; `contents` knows what need not be encoded."""
        self._spec = spec
        self._contents = contents
        self._min_side = enough_side(spec)

    def read(self, place: Place) -> ReadFile:
        """Read one file."""
        if place.size > LARGEST_FILE:
            return Unreadable(place, f"larger than {LARGEST_FILE >> 20} MB", is_picture_gone=True)
        with _FILES.reserved(place.size):
            return self._read(place)

    def _read(self, place: Place) -> ReadFile:
        try:
            data = _content(place)
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            return Unreadable(place, reason, is_picture_gone=False)
        content_hash = hash_content(data)
        if content_key(content_hash) in self._contents:
            return KnownPicture(place, content_hash)
        try:
            decoded = read_image(data, min_side=self._min_side)
            pixels = self._spec.apply(decoded.rgb)
        except ImageReadError as error:
            is_passing = error.needs == DECODER_PROCESS
            return Unreadable(place, str(error), is_picture_gone=not is_passing)
        return self._claim(place, content_hash, decoded, pixels)

    def _claim(
        self, place: Place, content_hash: str, decoded: DecodedImage, pixels: PixelArray
    ) -> ReadFile:
        picture = Picture(
            content_hash,
            decoded.width,
            decoded.height,
            decoded.taken_at,
            decoded.camera,
            make_thumbnail(decoded.rgb),
            sign_picture(decoded.rgb),
        )
        if not self._contents.add(content_key(content_hash)):
            return KnownPicture(place, content_hash)  # another thread had the same content
        return NewPicture(place, picture, pixels)


def _content(place: Place) -> bytes:
    if place.inside is not None:
        return opened(place.inside.file).read(place.inside.member)
    if is_remote(place.path):
        return read_object(place.path, place.size, place.root)
    return read_regular(place.path, limit=LARGEST_FILE)


def make_thumbnail(rgb: Image.Image, side: int = 256) -> bytes:
    """A JPEG without metadata, of at most `side` pixels; small pictures are not enlarged."""
    scale = min(1.0, side / max(rgb.size))
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    if size != rgb.size:
        # Nearly as sharp as bicubic when shrinking, at half of its cost: there is one per picture.
        rgb = rgb.resize(size, Image.Resampling.HAMMING, reducing_gap=1.5)
    buffer = io.BytesIO()
    # Metadata of the source (profile, comment) would otherwise come along in each.
    rgb.save(buffer, "JPEG", quality=_QUALITY, icc_profile=None, comment=b"", exif=b"")
    return buffer.getvalue()
