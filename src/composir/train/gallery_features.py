"""What the gallery's encoder gives for training pictures, cached: vectors and patch tokens.

Computed once through ONNX Runtime, exactly as at query time; every composer's training reads them.
View 0 is the plain picture, the others are augmented. A picture that cannot be read is left out
and listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.encode.encoders import Encoder, Progress, encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.stored import RowKind, StoredRows
from composir.errors import TrainingError
from composir.model import Model
from composir.types import FloatArray

HalfArray: TypeAlias = NDArray[np.float16]
PictureFile: TypeAlias = Path | ImageFile
TEXTS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class GalleryFeatures:
    """Features of the pictures that could be read.

    Attributes:
        vectors: (n, D) float32, unit norm.
        patch_tokens: (n, N, Dp) float16, read from disk where they are indexed.
        kept: (n,) int64, which of the given files these rows are.
        failures: Files left out, with the reason.
    """

    vectors: FloatArray
    patch_tokens: StoredRows | HalfArray
    kept: NDArray[np.int64]
    failures: tuple[tuple[PictureFile, str], ...]


def feature_store(cache: Path) -> FeatureStore:
    """The store in a run's folder of caches; made if missing."""
    return FeatureStore(cache, "delete it, or name another folder: --set cache=FOLDER")


def image_files(files: Sequence[PictureFile]) -> list[ImageFile]:
    """Files as they are encoded."""
    return [ImageFile(file) if isinstance(file, Path) else file for file in files]


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

    View 0 is the plain picture, others are augmented, seeded by file and view. With `spatial` patch
    tokens are kept; else they are (n, 0, 0) and the model need not have any.
    """
    if not files:
        raise TrainingError("no training images: give a folder or files that hold pictures")
    encoder = _spatial(model) if spatial else image_encoder(model)
    store = feature_store(cache)
    found = encode_images(image_files(files), encoder, store, view=view, progress=progress)
    failures = tuple((files[place], why) for place, why in found.failures.items())
    if not len(found.kept):
        raise TrainingError(
            f"none of the {len(files)} training images can be read, e.g. "
            f"{getattr(failures[0][0], 'path', failures[0][0])}: {failures[0][1]}"
        )
    none = np.empty((len(found.kept), 0, 0), dtype=np.float16)
    patches = found.rows[1] if spatial else none
    return GalleryFeatures(np.asarray(found.rows[0]), patches, found.kept, failures)


def _spatial(model: Model) -> Encoder:
    """Vectors and patch tokens of the gallery side; as many as a blank picture has."""
    plain = image_encoder(model)
    blank = np.zeros((1, plain.spec.size, plain.spec.size, 3), dtype=np.uint8)
    _, example = model.images.encode_patches(blank)
    patches = RowKind("patches", model.fingerprint, example.shape[1:], "float16")
    kinds = (*plain.kinds, patches)
    return Encoder(kinds, plain.spec, model.images.encode_patches)
