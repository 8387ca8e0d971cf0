"""What the gallery's encoder gives for training pictures, cached: vectors and patch tokens.

Computed once through ONNX Runtime, exactly as at query time; every composer's training reads them.
View 0 is the plain picture, the others are augmented. A picture that cannot be read is left out
and listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.errors import ImageReadError, TrainingError
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.model import Model
from composir.train.augment import augment
from composir.train.feature_cache import (
    PictureFile,
    filling,
    has_size,
    picture_stamp,
    read_note,
    write_note,
)
from composir.train.images import TrainingImage
from composir.types import FloatArray, PixelArray

Progress: TypeAlias = Callable[[int, int], None]
HalfArray: TypeAlias = NDArray[np.float16]
BATCH = 64


@dataclass(frozen=True, slots=True)
class GalleryFeatures:
    """Features of the pictures that could be read.

    Attributes:
        vectors: (n, D) float32, unit norm.
        patch_tokens: (n, N, Dp) float16, memory-mapped.
        kept: (n,) int64, which of the given files these rows are.
        failures: Files left out, with the reason.
    """

    vectors: FloatArray
    patch_tokens: HalfArray
    kept: NDArray[np.int64]
    failures: tuple[tuple[PictureFile, str], ...]


def gallery_features(
    cache: Path,
    files: Sequence[PictureFile],
    model: Model,
    progress: Progress | None = None,
    view: int = 0,
    *,
    spatial: bool = True,
) -> GalleryFeatures:
    """Open the features of some pictures, computing what is not cached yet.

    An interrupted computation goes on where it stopped.

    Args:
        cache: Folder of caches; made if missing.
        files: The pictures, in order.
        model: The foundation model.
        progress: Called with (done, total).
        view: 0 for the plain picture, 1 and up for augmented ones, seeded by file and view.
        spatial: Keep patch tokens; else they are (n, 0, 0) and the model need not have any.

    Raises:
        TrainingError: If there are no files, or none of them can be read.
        ModelError: If the model has no spatial features.
    """
    if not files:
        raise TrainingError("no training images: give a folder or files that hold pictures")
    name = _name(files, model, view) + ("" if spatial else "-vectors")
    read_one = partial(read_pixels, spec=model.image_spec, view=view)
    with filling(cache / name), ThreadPoolExecutor(2) as pool:
        store = _Store(cache / name, files, model, spatial=spatial)
        for start in range(store.done, len(files), BATCH):
            chosen = files[start : start + BATCH]
            store.add(start, chosen, list(pool.map(read_one, chosen)))
            if progress:
                progress(store.done, len(files))
    return store.features()


class _Store:
    """Two growing files and a note of how far they are and what could not be read."""

    def __init__(
        self, stem: Path, files: Sequence[PictureFile], model: Model, *, spatial: bool
    ) -> None:
        self._files, self._model, self._spatial = files, model, spatial
        self._note = stem.with_suffix(".json")
        blank = np.zeros((1, model.image_spec.size, model.image_spec.size, 3), dtype=np.uint8)
        _, patches = self._encode(blank)
        vectors = _Rows(stem.with_suffix(".vectors"), (len(files), model.dimension), "f4")
        parts = _Rows(stem.with_suffix(".patches"), (len(files), *patches.shape[1:]), "f2")
        sizes = {rows.path: rows.size for rows in (vectors, parts) if rows.size}
        self._state = read_note(self._note, sizes, len(files))
        self._vectors, self._patches = vectors.open(), parts.open()

    @property
    def done(self) -> int:
        """How many files need no more work."""
        return self._state.done

    def _encode(self, pixels: PixelArray) -> tuple[FloatArray, FloatArray]:
        if self._spatial:
            return self._model.images.encode_pixel_patches(pixels)
        vectors = self._model.encode_pixels(pixels)
        return vectors, np.empty((len(vectors), 0, 0), dtype=np.float32)

    def add(
        self, start: int, files: Sequence[PictureFile], read: Sequence[PixelArray | str]
    ) -> None:
        good = [row for row, pixels in enumerate(read) if not isinstance(pixels, str)]
        for row, pixels in enumerate(read):
            if isinstance(pixels, str):
                self._state.failed[str(start + row)] = pixels
        if good:
            pixels = np.stack([np.asarray(read[row], dtype=np.uint8) for row in good])
            vectors, patches = self._encode(pixels)
            places = np.asarray(good) + start
            self._vectors[places], self._patches[places] = vectors, patches
        for rows in (self._vectors, self._patches):
            if isinstance(rows, np.memmap):
                rows.flush()
        self._state.done = start + len(files)
        write_note(self._note, self._state)

    def features(self) -> GalleryFeatures:
        failed = self._state.failed
        kept = np.array(
            [row for row in range(len(self._files)) if str(row) not in failed], dtype=np.int64
        )
        failures = tuple((self._files[int(row)], why) for row, why in failed.items())
        if not len(kept):
            raise TrainingError(
                f"none of the {len(self._files)} training images can be read, e.g. "
                f"{failures[0][0]}: {failures[0][1]}"
            )
        whole = len(kept) == len(self._files)
        patches: HalfArray = np.asarray(self._patches) if whole else self._patches[kept]
        return GalleryFeatures(np.array(self._vectors[kept]), patches, kept, failures)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A data file as it is to be; none where the rows are empty."""

    path: Path
    shape: tuple[int, ...]
    kind: str

    @property
    def size(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.kind).itemsize

    def open(self) -> NDArray[Any]:
        """The rows on disk; a file of another size, e.g. one cut off, is made anew."""
        if not self.size:
            return np.empty(self.shape, dtype=self.kind)
        mode: Any = "r+" if has_size(self.path, self.size) else "w+"
        return np.memmap(self.path, dtype=self.kind, mode=mode, shape=self.shape)


def read_pixels(file: PictureFile, spec: PreprocessSpec, view: int) -> PixelArray | str:
    """A picture as an encoder takes it, or why it cannot be read.

    Args:
        file: The picture, as a path or a part of a shard.
        spec: Preprocessing of the encoder.
        view: 0 for the plain picture; an augmented one shows every encoder the same crop.

    Returns:
        (s, s, 3) uint8, or the reason.
    """
    try:
        side = spec.min_side
        if isinstance(file, TrainingImage):
            rgb = file.read(min_side=side)
        else:
            rgb = read_image(file, min_side=side).rgb
        if view:
            digest = hashlib.sha256(f"{file.name}/{view}".encode()).digest()
            rgb = augment(rgb, np.random.default_rng(int.from_bytes(digest[:8], "big")))
        return spec.apply(rgb)
    except (ImageReadError, OSError) as error:
        return str(error)


def _name(files: Sequence[PictureFile], model: Model, view: int) -> str:
    digest = hashlib.sha256(f"{model.fingerprint} {view}".encode())
    for file in files:
        digest.update(f"{picture_stamp(file)}\n".encode())
    return f"gallery-{digest.hexdigest()[:16]}-view{view}"
