"""What a step reads about pictures: features of the light side, vectors and patches of the gallery.

Everything is cached; a row is a picture's place among the given files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composir.errors import TrainingError
from composir.train.gallery_features import GalleryFeatures
from composir.train.isa.features import Array, LightFeatures
from composir.types import FloatArray

RowNumbers = NDArray[np.int64]


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
    """All views, and which pictures are for what.

    Attributes:
        views: The plain one first.
        teachers: By view of the light side, the view whose vectors are its targets.
        train: Rows to train on.
        dev: Rows to evaluate on.
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
