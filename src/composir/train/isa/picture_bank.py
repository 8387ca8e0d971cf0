"""What a step reads about pictures: features of the light side, vectors and patches of the gallery.

Everything is cached; a row is a picture's place among the given files.

Which pictures, views and phrases a step sees is a function of the step's number. So the FIFO queue
of teacher vectors is no state either: it is what the steps before drew, and a resumed run sees the
same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from composir.train.isa.objective import ObjectiveConfig
from composir.train.isa.token_learner import TokenLearnerConfig
from composir.train.loop import drawn_rows
from composir.train.steering import PhraseSteering
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything about a step that is known before anything is encoded.

    Attributes:
        step: Its number.
        rows: Of the pictures.
        views: Of each picture, which one the light side sees.
        phrases: Of each picture, the phrase beside its sentence; `NO_PHRASE` for none.
        teachers: (n + q, D), the pictures' gallery vectors, then the queue's.
        targets: The same as sentences are to match them (`FrozenFoundation.text_aligned`).
        valid: (n, n + q) bool, false where a column is the row's own picture once more.
        goals: (m, D), where the m sentences with a phrase should lead.
        kept: (l,) int64, tokens that this step sees.
    """

    step: int
    rows: Sequence[int]
    views: Sequence[int]
    phrases: Sequence[int]
    teachers: Tensor
    targets: Tensor
    valid: Tensor
    goals: Tensor
    kept: Tensor

    def at(self, places: Sequence[int]) -> Batch:
        """The same batch with some of the pictures only; targets stay whole."""
        return replace(
            self,
            rows=[self.rows[place] for place in places],
            views=[self.views[place] for place in places],
            phrases=[self.phrases[place] for place in places],
        )


class Batches:
    """Draws batches."""

    def __init__(
        self,
        bank: PictureBank,
        objective: ObjectiveConfig,
        steering: PhraseSteering,
        learner: TokenLearnerConfig,
        seed: int,
        meaning: Callable[[Tensor], Tensor],
    ) -> None:
        self._meaning = meaning
        self._bank, self._objective, self._seed = bank, objective, seed
        self._steering, self._tokens = steering, learner.num_tokens

    def draw(self, step: int) -> Batch:
        """The batch of a step, counted from 1."""
        rows, views = self._pictures(step)
        columns, column_views = self._queue(step)
        vectors = self._bank.targets([*rows, *columns], [*views, *column_views])
        teachers = torch.from_numpy(vectors).to(self._steering.vectors.device)
        targets = self._meaning(teachers)
        generator = np.random.default_rng((self._seed, step, 2))
        phrases = self._steering.draw(len(rows), generator)
        steered = self._steering.rows_with_phrase(phrases)
        return Batch(
            step=step,
            rows=rows,
            views=views,
            phrases=phrases,
            teachers=teachers,
            targets=targets,
            valid=_valid(rows, columns).to(targets.device),
            goals=self._steering.targets(targets[steered], [phrases[row] for row in steered]),
            kept=self._kept(generator).to(targets.device),
        )

    def _pictures(self, step: int) -> tuple[list[int], list[int]]:
        train, count = self._bank.train, self._objective.batch
        rows = [int(train[row]) for row in drawn_rows(len(train), step, count, self._seed)]
        generator = np.random.default_rng((self._seed, step, 1))
        return rows, generator.integers(0, len(self._bank.views), count).tolist()

    def _queue(self, step: int) -> tuple[list[int], list[int]]:
        """The last pictures drawn before a step, newest first."""
        rows: list[int] = []
        views: list[int] = []
        size = self._objective.gcd.queue
        while step > 1 and len(rows) < size:
            step -= 1
            before, before_views = self._pictures(step)
            rows += before
            views += before_views
        return rows[:size], views[:size]

    def _kept(self, generator: np.random.Generator) -> Tensor:
        """All tokens, or with the chance of token dropout a random part of them, in order."""
        count = self._tokens
        drops = generator.random() < self._objective.token_dropout and count > 1
        kept = int(generator.integers(1, count)) if drops else count
        return torch.from_numpy(np.sort(generator.permutation(count)[:kept]))


def _valid(rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    everything = torch.tensor([*rows, *columns])
    valid = everything[: len(rows), None] != everything[None]
    valid[range(len(rows)), range(len(rows))] = True
    return valid
