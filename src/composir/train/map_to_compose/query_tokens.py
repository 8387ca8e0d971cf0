"""Pseudo-words of reference images through a trained composer's own query graph.

Stage 2 freezes everything up to the tokens, so they are computed once, on ONNX Runtime, by whatever
graph the first stage left: a mapper on vectors, on patch tokens, or a network of its own on pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from composir.compose.trained import ComposerFolder
from composir.errors import ImageReadError, TrainingError
from composir.images import read_image
from composir.model.sessions import open_session
from composir.preprocess import PreprocessSpec
from composir.train.gallery_features import GalleryFeatures
from composir.types import FloatArray, PixelArray

BATCH = 32
Feeds: TypeAlias = Callable[[Sequence[int]], dict[str, FloatArray | PixelArray]]


def query_tokens(
    composer: ComposerFolder, files: Sequence[Path], features: GalleryFeatures, rows: Sequence[int]
) -> FloatArray:
    """Compute the tokens of some images.

    Args:
        composer: The first stage.
        files: All images, as given to `gallery_features`.
        features: Of those images.
        rows: Which of the features' rows, in order; repeats are computed once.

    Returns:
        (len(rows), L, Dw) float32.

    Raises:
        TrainingError: If a picture cannot be read any more.
        BundleError: If the composer's graph is damaged.
    """
    session = open_session(composer.file(composer.manifest.graph))
    feeds = _feeds(composer, files, features)
    unique = sorted(set(rows))
    parts = [
        session.run(["tokens"], feeds(unique[at : at + BATCH]))[0]
        for at in range(0, len(unique), BATCH)
    ]
    place = {row: index for index, row in enumerate(unique)}
    tokens: FloatArray = np.concatenate(parts)[[place[row] for row in rows]]
    return tokens


def _feeds(composer: ComposerFolder, files: Sequence[Path], features: GalleryFeatures) -> Feeds:
    """What the graph takes for some rows."""
    made = composer.manifest
    if made.preprocess is not None:
        spec = made.preprocess
        return lambda rows: {
            "pixels": np.stack([_pixels(files[int(features.kept[row])], spec) for row in rows])
        }
    if made.input == "vector":
        return lambda rows: {"vector": features.vectors[list(rows)]}
    return lambda rows: {
        "patch_tokens": features.patch_tokens[list(rows)].astype(np.float32),
        "vector": features.vectors[list(rows)],
    }


def _pixels(file: Path, spec: PreprocessSpec) -> PixelArray:
    try:
        return spec.apply(read_image(file, min_side=2 * spec.size).rgb)
    except ImageReadError as error:
        raise TrainingError(f"{file}: {error}; it could be read when its features were") from error
