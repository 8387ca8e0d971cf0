"""Vectors of the pictures and captions that triplets are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from composir.encode.encoders import encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.texts import encode_texts
from composir.model.base import EmbeddingModel
from composir.triplets.records import SourceImage
from composir.types import Failure, FloatArray

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage in words, how much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class ImageVectors:
    """Vectors of the pictures that could be read.

    Attributes:
        kept: Places of these pictures in the source, ascending.
        matrix: (len(kept), D) float32, unit norm.
        failures: The others, with reasons.
    """

    kept: tuple[int, ...]
    matrix: FloatArray
    failures: tuple[Failure, ...]


def image_vectors(
    model: EmbeddingModel,
    images: Sequence[SourceImage],
    cache: FeatureStore | None,
    progress: Progress,
) -> ImageVectors:
    """Encode pictures with the gallery side of a model.

    Args:
        model: The model.
        images: n pictures.
        cache: Where vectors are kept; None keeps nothing.
        progress: Told after every batch.
    """
    files = [ImageFile(image.file) for image in images]
    told = partial(progress, "encoding images")
    found = encode_images(files, image_encoder(model), cache, progress=told)
    failures = (Failure(images[place].file, reason) for place, reason in found.failures.items())
    return ImageVectors(tuple(found.kept.tolist()), np.asarray(found.rows[0]), tuple(failures))


def caption_vectors(
    model: EmbeddingModel,
    images: Sequence[SourceImage],
    cache: FeatureStore | None,
    progress: Progress,
) -> FloatArray:
    """Mean vector of each picture's captions.

    Args:
        model: The model.
        images: n pictures; those without captions get a zero row, which is near to nothing.
        cache: Where vectors of texts are kept; None keeps nothing.
        progress: Told after every batch.

    Returns:
        (n, D) float32, unit norm or zero.
    """
    texts = list(dict.fromkeys(text for image in images for text in image.captions))
    told = partial(progress, "encoding captions")
    place = {text: row for row, text in enumerate(texts)}
    vectors = encode_texts(texts, model, cache, progress=told)
    matrix = np.zeros((len(images), model.dimension), dtype=np.float32)
    for row, image in enumerate(images):
        if image.captions:
            matrix[row] = np.mean([vectors[place[text]] for text in image.captions], axis=0)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms > 0, norms, 1), dtype=np.float32)
