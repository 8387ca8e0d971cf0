"""Pseudo-words of reference images, and vectors, through a trained composer's own query graph.

Stage 2 freezes everything up to the tokens, so they are computed once, on ONNX Runtime, by whatever
graph the first stage left: a mapper on vectors, on patch tokens, or a network of its own on pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from composir.compose.token_graph import LightTokens, checked_words
from composir.compose.trained import ComposerFolder
from composir.errors import ImageReadError, ModelError, TrainingError
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.model.sessions import check_graph, open_session
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import GalleryFeatures
from composir.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 32
Feeds: TypeAlias = Callable[[Sequence[int]], dict[str, FloatArray | PixelArray]]


def query_tokens(
    composer: ComposerFolder, files: Sequence[Path], features: GalleryFeatures, rows: Sequence[int]
) -> LightTokens:
    """Compute the tokens of some images, and the vectors of a graph that gives its own.

    Returns:
        (len(rows), L, Dw) words; (len(rows), D) vectors where the manifest says `vector`.
    """
    made = composer.manifest
    session, outputs = _opened(composer)
    feeds = _feeds(composer, files, features)
    runs = [session.run(outputs, feeds(rows[at : at + BATCH])) for at in range(0, len(rows), BATCH)]
    given = [np.concatenate(part) for part in zip(*runs, strict=True)]
    words = checked_words(composer, given[0])
    if not made.vector:
        return LightTokens(words)
    width = features.vectors.shape[1]
    return LightTokens(words, vectors=_checked_vectors(composer, given[1], width))


def tokens_of_vectors(
    composer: ComposerFolder, foundation: FrozenFoundation
) -> Callable[[FloatArray], FloatArray]:
    """A mapping for vectors without a picture: (n, D) to tokens (n, L, Dw).

    Patches, where it injects some, are zeros: attention finds nothing in them.
    """
    session, _ = _opened(composer)
    injects = composer.manifest.input == "patch_tokens"
    rows, columns, width = foundation.patch_shape() if injects else (0, 0, 0)

    def mapped(vectors: FloatArray) -> FloatArray:
        feeds = {"vector": vectors}
        if injects:
            feeds["patch_tokens"] = np.zeros((len(vectors), rows * columns, width), np.float32)
        return checked_words(composer, session.run(["tokens"], feeds)[0])

    return lambda vectors: np.concatenate(
        [mapped(vectors[at : at + BATCH]) for at in range(0, len(vectors), BATCH)]
    )


def _opened(composer: ComposerFolder) -> tuple[InferenceSession, list[str]]:
    """The query graph, and what it gives of tokens and vector."""
    path = composer.file(composer.manifest.graph)
    session = open_session(path)
    outputs = ["tokens", "vector"] if composer.manifest.vector else ["tokens"]
    check_graph(session, path, {taken.name for taken in session.get_inputs()}, set(outputs))
    return session, outputs


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


def _checked_vectors(composer: ComposerFolder, vectors: FloatArray, dimension: int) -> FloatArray:
    norms = np.linalg.norm(vectors, axis=-1)
    if vectors.shape[1:] != (dimension,) or not np.allclose(norms, 1.0, atol=1e-3):
        raise ModelError(
            f"{composer.folder}: its output vector must be (n, {dimension}) of unit norm, but is "
            f"{vectors.shape} of norms {norms.min():.3g} to {norms.max():.3g}; export it again"
        )
    return vectors


def _pixels(file: Path, spec: PreprocessSpec) -> PixelArray:
    try:
        return spec.apply(read_image(file, min_side=spec.min_side).rgb)
    except ImageReadError as error:
        raise TrainingError(f"{file}: {error}; it could be read when its features were") from error
