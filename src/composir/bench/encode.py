"""A benchmark's pictures by id: as vectors, and opened for composers that look for themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image

from composir.bench.vectors import VectorTable
from composir.encode.encoders import Progress, encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.errors import DatasetError, ImageReadError
from composir.model.base import EmbeddingModel


def encode_pictures(
    model: EmbeddingModel,
    pictures: Mapping[str, ImageFile],
    *,
    cache: FeatureStore | None = None,
    progress: Progress | None = None,
    unreadable: dict[str, str] | None = None,
) -> VectorTable:
    """Encode images with the gallery side of a model.

    Args:
        model: The model.
        pictures: By id.
        cache: Where vectors are kept; None encodes everything anew.
        progress: Called with (done, total) images.
        unreadable: Gets the reason of each picture that cannot be read, by id; None: the first of
            them is an error.

    Raises:
        DatasetError: If a picture cannot be read and `unreadable` is None.
        CacheError: If the cache cannot be used.
    """
    ids, files = tuple(pictures), list(pictures.values())

    def refuse(place: int, reason: str) -> None:
        if unreadable is None:
            raise _unread(ids[place], files[place], reason)

    encoder = image_encoder(model)
    found = encode_images(files, encoder, cache, progress=progress, failed=refuse)
    if unreadable is not None:
        unreadable.update({ids[place]: reason for place, reason in found.failures.items()})
    kept = tuple(ids[place] for place in found.kept)
    return VectorTable(kept, np.asarray(found.rows[0]), f"images, encoded by {model.name}")


def openers(pictures: Mapping[str, ImageFile]) -> dict[str, Callable[[], Image.Image]]:
    """Functions that open each picture, for composers with an image encoder of their own.

    They raise DatasetError, which names the picture, if its file cannot be read.
    """
    return {name: partial(_open_named, name, picture) for name, picture in pictures.items()}


def _open_named(name: str, picture: ImageFile) -> Image.Image:
    try:
        return picture.open()
    except ImageReadError as error:
        raise _unread(name, picture, error) from error


def _unread(name: str, picture: ImageFile, reason: object) -> DatasetError:
    return DatasetError(f"image {name!r}, {picture.path}: {reason}")
