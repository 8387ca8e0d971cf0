"""Vectors of a source's pictures and captions, kept on disk as they are made.

A stopped run goes on where it was: every batch is stored, by model and content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from composir.bench.task import Picture
from composir.bench.vectors import VectorCache
from composir.errors import ImageReadError
from composir.images import read_image
from composir.model.base import EmbeddingModel
from composir.triplets.records import SourceImage
from composir.types import Failure, FloatArray, PixelArray

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage in words, how much is done, and of how much."""

_BATCH = 32
_HASHED_AT_ONCE = 256
_PROBE = "a red bicycle beside two dogs on a wooden bridge, seen from above"


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
    cache: VectorCache | None,
    progress: Progress,
) -> ImageVectors:
    """Encode pictures with the gallery side of a model.

    Args:
        model: The model.
        images: n pictures.
        cache: Where vectors are kept; None keeps nothing.
        progress: Told after every batch.

    Returns:
        The vectors; pictures that cannot be read are failures, not errors.
    """
    keys = _content_keys(images, cache)
    known = cache.get(model.fingerprint, [key for key in keys if key]) if cache else {}
    vectors = {place: known[key] for place, key in enumerate(keys) if key in known}
    reasons: dict[int, str] = {}
    todo = [place for place in range(len(images)) if place not in vectors]
    for places, pixels, failed in _decoded(model, images, todo):
        reasons |= failed
        if places:
            fresh = dict(zip(places, model.encode_pixels(pixels), strict=True))
            vectors |= fresh
            _keep(cache, model.fingerprint, {keys[p]: v for p, v in fresh.items()})
        progress("encoding images", len(vectors) + len(reasons), len(images))
    kept = tuple(sorted(vectors))
    empty = np.zeros((0, model.dimension), dtype=np.float32)
    matrix = np.stack([vectors[place] for place in kept]) if kept else empty
    failures = tuple(Failure(images[p].file, reason) for p, reason in sorted(reasons.items()))
    return ImageVectors(kept, matrix.astype(np.float32, copy=False), failures)


def _content_keys(images: Sequence[SourceImage], cache: VectorCache | None) -> list[str]:
    """What identifies each picture's content; empty where it cannot be read or is not kept."""
    if cache is None:
        return [""] * len(images)
    keys: list[str] = []
    pictures = [Picture(image.file) for image in images]
    for start in range(0, len(pictures), _HASHED_AT_ONCE):
        part = pictures[start : start + _HASHED_AT_ONCE]
        keys += cache.contents(part)
    return keys


_Batch: TypeAlias = tuple[list[int], PixelArray, dict[int, str]]


def _decoded(
    model: EmbeddingModel, images: Sequence[SourceImage], todo: Sequence[int]
) -> Iterator[_Batch]:
    """Batches of pixels; the next one is decoded while the model works."""
    batches = [todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH)]
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(_decode, model, images, batches[0]) if batches else None
        for number in range(len(batches)):
            assert ahead is not None
            batch = ahead.result()
            if number + 1 < len(batches):
                ahead = pool.submit(_decode, model, images, batches[number + 1])
            yield batch


def _decode(model: EmbeddingModel, images: Sequence[SourceImage], batch: Sequence[int]) -> _Batch:
    places, pixels, reasons = [], [], {}
    for place in batch:
        try:
            picture = read_image(images[place].file, min_side=model.image_spec.min_side)
            prepared = model.image_spec.apply(picture.rgb)
        except ImageReadError as error:
            reasons[place] = str(error)
        else:
            places.append(place)
            pixels.append(prepared)
    side = model.image_spec.size
    empty = np.zeros((0, side, side, 3), dtype=np.uint8)
    return places, np.stack(pixels) if pixels else empty, reasons


def caption_vectors(
    model: EmbeddingModel,
    images: Sequence[SourceImage],
    cache: VectorCache | None,
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
    vectors = _text_vectors(model, texts, cache, progress)
    matrix = np.zeros((len(images), model.dimension), dtype=np.float32)
    for place, image in enumerate(images):
        if image.captions:
            matrix[place] = np.mean([vectors[text] for text in image.captions], axis=0)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms > 0, norms, 1), dtype=np.float32)


def _text_vectors(
    model: EmbeddingModel, texts: Sequence[str], cache: VectorCache | None, progress: Progress
) -> dict[str, FloatArray]:
    side = _text_side(model)
    keys = {text: hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts}
    known = cache.get(side, keys.values()) if cache else {}
    vectors = {text: known[key] for text, key in keys.items() if key in known}
    todo = [text for text in texts if text not in vectors]
    for start in range(0, len(todo), _HASHED_AT_ONCE):
        batch = todo[start : start + _HASHED_AT_ONCE]
        fresh = dict(zip(batch, model.encode_texts(batch), strict=True))
        vectors |= fresh
        _keep(cache, side, {keys[text]: vector for text, vector in fresh.items()})
        progress("encoding captions", len(vectors), len(texts))
    return vectors


def _text_side(model: EmbeddingModel) -> str:
    """Identifies a model's text side, which its fingerprint leaves out, by what it answers."""
    answer = np.round(model.encode_texts([_PROBE])[0].astype(np.float64), 3)
    return f"texts-{model.fingerprint}-{hashlib.sha256(answer.tobytes()).hexdigest()[:12]}"


def _keep(cache: VectorCache | None, bundle: str, vectors: dict[str, FloatArray]) -> None:
    named = {key: vector for key, vector in vectors.items() if key}
    if cache is not None and named:
        cache.put(bundle, named)
