"""What a step reads about pictures: features of the light side, vectors and patches of the gallery.

Everything is cached; a row is a picture's place among the given files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composir.encode.encoders import Encoder, Progress, encode_images
from composir.encode.stored import RowKind, StoredRows
from composir.errors import TrainingError
from composir.train.composer_export import lower_runner
from composir.train.gallery_features import GalleryFeatures, PictureFile, feature_store, image_files
from composir.train.isa.light_encoder import LightEncoder
from composir.types import FloatArray, PixelArray

Array: TypeAlias = NDArray[Any]
RowNumbers: TypeAlias = NDArray[np.int64]
BATCH = 32


@dataclass(frozen=True, slots=True)
class LightFeatures:
    """One view of the pictures.

    Attributes:
        rows: (n, ...) float16, or uint8 pixels where the whole network is trained, read from disk
            where they are indexed; one row for every given file.
        failures: Reason by row, for pictures that cannot be read; their rows say nothing.
    """

    rows: StoredRows | Array
    failures: Mapping[int, str]


def light_features(
    cache: Path,
    files: Sequence[PictureFile],
    encoder: LightEncoder,
    name: str,
    view: int,
    progress: Progress | None = None,
) -> LightFeatures:
    """What the frozen part of the light encoder gives for one view of pictures, computed once.

    As `train.gallery_features`, of which it sees the same pictures and the same augmented crops;
    `name` is what the numbers depend on beside the encoder's weights and preprocessing.
    """
    example = _example(encoder)
    dtype = "uint8" if example.dtype == torch.uint8 else "float16"
    weights = float(sum(p.detach().double().abs().sum() for p in encoder.parameters()))
    made_by = f"{name} {encoder.preprocess.model_dump_json()} {weights:.6e}"
    kind = RowKind("light", made_by, tuple(example.shape[1:]), dtype)
    run = functools.cache(lambda: _runner(encoder))
    light = Encoder((kind,), encoder.preprocess, lambda pixels: (run()(pixels),), BATCH)
    store = feature_store(cache)
    found = encode_images(image_files(files), light, store, view=view, progress=progress)
    places = np.zeros(len(files), dtype=np.int64)
    places[found.kept] = np.arange(len(found.kept))
    rows = found.rows[0]
    return LightFeatures(rows.part(places) if len(rows) else rows, found.failures)


def _example(encoder: LightEncoder) -> Tensor:
    size = encoder.preprocess.size
    device = next(encoder.parameters()).device
    with torch.no_grad():
        return encoder.lower(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=device))


def _runner(encoder: LightEncoder) -> Callable[[PixelArray], Array]:
    """The frozen part where it is fastest: on the GPU, else through ONNX Runtime."""
    if _example(encoder).dtype == torch.uint8:
        return lambda pixels: pixels
    device = next(encoder.parameters()).device
    if device.type == "cpu":
        size = encoder.preprocess.size
        return lower_runner(encoder, torch.zeros(1, size, size, 3, dtype=torch.uint8))

    def run(pixels: PixelArray) -> Array:
        with torch.inference_mode():
            features: Array = encoder.lower(torch.from_numpy(pixels).to(device)).cpu().numpy()
            return features

    return run


@dataclass(frozen=True, slots=True)
class View:
    """One view of all pictures.

    Attributes:
        light: Cached features of the light side; None where it reads the gallery's patch tokens.
        gallery: Of the gallery's encoder, the teacher.
        place: (files,) row of each file in the gallery's arrays, -1 where it has none.
    """

    light: LightFeatures | None
    gallery: GalleryFeatures
    place: RowNumbers

    @classmethod
    def of(cls, files: int, light: LightFeatures | None, gallery: GalleryFeatures) -> View:
        """Put both sides together."""
        place = np.full(files, -1, dtype=np.int64)
        place[gallery.kept] = np.arange(len(gallery.kept))
        if light is not None:
            place[list(light.failures)] = -1
        return cls(light, gallery, place)

    def features(self, row: int) -> Array:
        """What the light side starts from, one picture's."""
        if self.light is None:
            return self.patches(row)
        features: Array = self.light.rows[row]
        return features

    def patches(self, row: int) -> Array:
        """The gallery's patch tokens, (N, Dp) float16."""
        patches: Array = self.gallery.patch_tokens[self.place[row]]
        return patches

    def vectors(self, rows: Sequence[int] | RowNumbers) -> FloatArray:
        """The gallery's vectors, (n, D) float32."""
        return self.gallery.vectors[self.place[np.asarray(rows, dtype=np.int64)]]


@dataclass(frozen=True, slots=True)
class PictureBank:
    """All views, the plain one first, and which pictures are for what.

    Of each view of the light side, `teachers` has the view whose vectors are its targets.
    """

    views: Sequence[View]
    teachers: Sequence[View]
    train: RowNumbers
    dev: RowNumbers

    @classmethod
    def of(
        cls, views: Sequence[View], is_dev: Sequence[bool], *, plain_teacher: bool
    ) -> PictureBank:
        """Split the pictures that every view could read."""
        readable = np.all([view.place >= 0 for view in views], axis=0)
        dev = np.asarray(is_dev, dtype=bool)
        if not readable.any():
            raise TrainingError("none of the training images could be read by both encoders")
        teachers = [views[0]] * len(views) if plain_teacher else views
        return cls(views, teachers, np.flatnonzero(readable & ~dev), np.flatnonzero(readable & dev))

    def features(self, rows: Sequence[int], views: Sequence[int]) -> Array:
        """Features of the light side, (n, ...)."""
        return np.stack([self.views[v].features(r) for r, v in zip(rows, views, strict=True)])

    def patches(self, rows: Sequence[int], views: Sequence[int]) -> Array:
        """The teacher's patch tokens, (n, N, Dp)."""
        return np.stack([self.teachers[v].patches(r) for r, v in zip(rows, views, strict=True)])

    def targets(self, rows: Sequence[int], views: Sequence[int]) -> FloatArray:
        """The teacher's vectors, (n, D)."""
        chosen = [self.teachers[v].vectors([r]) for r, v in zip(rows, views, strict=True)]
        return np.concatenate(chosen)
