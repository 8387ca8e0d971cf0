"""What a reference image may be given as: paths, bytes, open files, arrays, Pillow's pictures.

A query keeps what it was given in a form that can be read more than once: an open file is read when
the query is made, an array becomes a picture of its own. Neither NumPy's nor Pillow's modules are
imported for queries that come without their objects.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from composir.errors import QueryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

LARGEST_FILE = 256 * 2**20
MOST_REFERENCES = 16
_FORMS = "a path, the bytes of a file, a file opened with 'rb', a Pillow image or a uint8 array"


@dataclass(frozen=True, slots=True)
class NamedImage:
    """A picture that comes without a file of its own, and what people call it.

    Attributes:
        name: E.g. the address that it was fetched from.
        content: The bytes of a picture file, or the picture.
    """

    name: str
    content: bytes | Image.Image = field(repr=False)


ReferenceImage: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NamedImage"
ReferenceInput: TypeAlias = "ReferenceImage | bytearray | memoryview | BinaryIO | NDArray[np.uint8]"


def reference_images(given: object) -> tuple[ReferenceImage, ...]:
    """The references of a query, each in a form that can be read again.

    Args:
        given: One of `ReferenceInput`, a list or tuple of them, or None.

    Returns:
        As many images; none for None.
    """
    if given is None:
        return ()
    if not isinstance(given, list | tuple):
        return (reference_image(given),)
    if not given:
        raise QueryError("image is an empty list: give an image, or leave it out")
    if len(given) > MOST_REFERENCES:
        raise QueryError(f"{len(given)} reference images: give at most {MOST_REFERENCES}")
    return tuple(reference_image(one) for one in given)


def reference_image(given: object) -> ReferenceImage:
    """One reference in a form that can be read again."""
    if isinstance(given, str | os.PathLike):
        if not os.fspath(given):
            raise QueryError("the reference image is an empty path")
        return given
    if isinstance(given, bytes | NamedImage) or _is_picture(given):
        return given  # type: ignore[return-value]  # which `_is_picture` has looked at
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if hasattr(given, "__array_interface__"):
        return _picture_of(given)
    if callable(getattr(given, "read", None)):
        return _read(given)
    raise QueryError(f"a reference image is {_FORMS}, not {type(given).__name__}")


def reference_name(image: ReferenceImage) -> str:
    """What to call a reference below its picture; empty where it came without a name."""
    if isinstance(image, NamedImage):
        return image.name
    return Path(image).name if isinstance(image, str | os.PathLike) else ""


def reference_label(image: ReferenceImage) -> str:
    """A reference in one line of text for programs: its path, its name, or what it is."""
    if isinstance(image, NamedImage):
        return image.name
    if isinstance(image, bytes):
        return f"<{len(image)} bytes>"
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    return f"<picture of {image.width} x {image.height} pixels>"


def _is_picture(given: object) -> bool:
    pillow: Any = sys.modules.get("PIL.Image")  # who has a picture has imported it
    return pillow is not None and isinstance(given, pillow.Image)


def _picture_of(array: object) -> Image.Image:
    import numpy as np
    from PIL import Image

    pixels = np.asarray(array)
    if pixels.dtype != np.uint8:
        raise QueryError(
            f"a reference image of {pixels.dtype} numbers: give an array of uint8, 0 to 255"
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)) or not pixels.size:
        raise QueryError(
            f"a reference image of shape {pixels.shape}: give (height, width), or (height, width, "
            "3) or (height, width, 4) for RGB and RGBA"
        )
    return Image.fromarray(np.ascontiguousarray(pixels)).copy()  # or it would share the memory


def _read(file: Any) -> ReferenceImage:
    try:
        data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: closed, or not open for reading
        reason = getattr(error, "strerror", None) or error
        raise QueryError(f"the reference's open file cannot be read: {reason}") from error
    if isinstance(data, str):
        raise QueryError("the reference's open file gives text: open it with 'rb'")
    if not isinstance(data, bytes | bytearray):
        raise QueryError(f"the reference's open file gives {type(data).__name__}, not bytes")
    if not data:
        raise QueryError("the reference's open file has no bytes left: is it at its end? seek(0)")
    if len(data) > LARGEST_FILE:
        raise QueryError(f"the reference's open file is larger than {LARGEST_FILE >> 20} MB")
    name = getattr(file, "name", None)
    return NamedImage(name, bytes(data)) if isinstance(name, str) and name else bytes(data)
