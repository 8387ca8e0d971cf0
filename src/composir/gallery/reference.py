"""The references of a query: read, cropped, encoded, and told from the gallery's images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from composir.compose.base import Composer
from composir.crop import Crop
from composir.data.files import absolute
from composir.errors import (
    ImageReadError,
    ImageTooLargeError,
    ReferenceTooLargeError,
    UnreadableReferenceError,
)
from composir.gallery.duplicates import Appearance, NearDuplicateRule, sign_picture
from composir.gallery.ranking import Candidate
from composir.gallery.reader import enough_side
from composir.gallery.rows import hash_content, image_id
from composir.images import read_image
from composir.images.containers import read_picture
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.references import NamedImage, ReferenceImage, reference_name
from composir.types import DecodedImage, FloatArray, PixelArray, Query

_UNSEEN = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class OpenedReference:
    """A reference that was read."""

    name: str  # what to call it; empty where it came without a name
    rgb: Image.Image  # the part of it that is asked about
    whole: DecodedImage  # all of it
    content_hash: str | None  # of the file's bytes; None for pixels without a file
    id: str | None  # the gallery's id for its path; None where it came without one


@dataclass(frozen=True, slots=True)
class EncodedReference:
    """A reference as composers and the duplicate rule see it."""

    rgb: Image.Image  # its pixels, of the part that is asked about
    vector: FloatArray | None  # (D,) float32 of that part, unit norm; None where nobody needs it
    id: str | None  # the gallery's id for its path; None where it came without one
    pixels: PixelArray | None  # (size, size, 3) uint8 for the model, where the vector is of them
    appearance: Appearance  # what duplicates of the whole picture look like too

    def is_shown_by(self, candidate: Candidate, rule: NearDuplicateRule) -> bool:
        """Whether a gallery image is the reference or a duplicate of it."""
        return candidate.id == self.id or rule.same(self.appearance, candidate.appearance)


def needs_vectors(model: EmbeddingModel, composer: Composer) -> bool:
    """Whether composer or duplicate rule ask for the vectors of references."""
    return composer.traits.needs_vectors or model.copy_similarity is not None


def encoded_references(
    query: Query, model: EmbeddingModel, composer: Composer, *others: PreprocessSpec
) -> tuple[EncodedReference, ...]:
    """Read and encode the references of a query; `others` say what else will look at them.

    Where neither composer nor duplicate rule needs their vectors they are not encoded: with a joint
    encoder, which reads them together with the words, that would cost seconds more.
    """
    opened = open_references(query, min_side=_enough_side(composer, model.image_spec, *others))
    if not opened:
        return ()
    if not needs_vectors(model, composer):
        return tuple(_reference(one, None, None, _UNSEEN) for one in opened)
    pixels = model.image_spec.apply_each(one.rgb for one in opened)
    vectors = model.encode_pixels(pixels)
    # What is left out of the hits is the whole picture, whatever part of it was asked about.
    wholes = vectors if query.crop is None else model.encode_images([o.whole.rgb for o in opened])
    seen = zip(opened, pixels, vectors, wholes, strict=True)
    return tuple(_reference(*one) for one in seen)


def _enough_side(composer: Composer, *specs: PreprocessSpec) -> int | None:
    """As pictures are decoded for the gallery; in full for composers that look for themselves."""
    folder = composer.traits.folder
    if folder is None:
        return None
    own = folder.manifest.preprocess
    return enough_side(*specs, *([own] if own else []))


def _reference(
    one: OpenedReference,
    pixels: PixelArray | None,
    vector: FloatArray | None,
    whole: FloatArray,
) -> EncodedReference:
    width, height = one.whole.width, one.whole.height
    looks = Appearance(one.content_hash, sign_picture(one.whole.rgb), whole, width, height)
    return EncodedReference(one.rgb, vector, one.id, pixels, looks)


def open_references(query: Query, *, min_side: int | None = None) -> tuple[OpenedReference, ...]:
    """Read the references of a query.

    A short side of `min_side` pixels is enough; None for full size, which a crop needs.
    """
    enough = min_side if query.crop is None else None
    return tuple(_opened(image, query.crop, enough) for image in query.images)


def _opened(image: ReferenceImage, crop: Crop | None, min_side: int | None) -> OpenedReference:
    path = Path(image) if isinstance(image, str | os.PathLike) else None
    shown = path or (image.name if isinstance(image, NamedImage) else "image")
    try:
        content = _content(image)
        whole = read_image(content, min_side=min_side)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableReferenceError(
            f"the reference {shown}: {reason}{_way_out(image)}"
        ) from error
    except ImageTooLargeError as error:
        raise ReferenceTooLargeError(f"the reference {shown} is too large: {error}") from error
    except ImageReadError as error:
        raise UnreadableReferenceError(f"the reference {shown} is no picture: {error}") from error
    rgb = whole.rgb if crop is None else whole.rgb.crop(crop.box(*whole.rgb.size))
    return OpenedReference(
        reference_name(image),
        rgb,
        whole,
        hash_content(content) if isinstance(content, bytes) else None,
        None if path is None else image_id(absolute(path)),
    )


def _content(image: ReferenceImage) -> bytes | Image.Image:
    if isinstance(image, NamedImage):
        return image.content
    if isinstance(image, str | os.PathLike):
        return read_picture(image)
    return image


def _way_out(image: ReferenceImage) -> str:
    if isinstance(image, str) and "://" in image:
        return "; from Python give the bytes of what is at an address, not the address"
    return ""
