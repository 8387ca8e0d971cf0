"""Pseudo-words of references through a query side of the first stage: of pictures, and of texts.

Stage 2 freezes everything up to the tokens, so those of pictures are computed once, on ONNX
Runtime, by whatever graph the first stage left: a mapper on vectors, on patch tokens, or a network
of its own on pixels.

A text may stand in the place of a picture. A mapping takes a picture's vector, and a text's in its
place, once the gap between the two kinds is closed: moved by the difference of their means and
blurred by noise, as text-only mapping does (arXiv 2312.01998). Where patches are injected into a
pseudo-word, a text has none to show, and what is left may say nothing. Such query sides, and those
that look at pixels, get the text's own words, which are a sentence already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from composir.compose.token_graph import LightTokens, checked_words
from composir.compose.trained import ComposerFolder
from composir.errors import ImageReadError, ModelError, TrainingError
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.model.sessions import check_graph, open_session
from composir.train.frozen import FrozenFoundation, with_noise
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


@dataclass(frozen=True, slots=True)
class ModalityGap:
    """How vectors of texts become like those of pictures.

    Attributes:
        shift: (D,), from the mean of texts to that of what texts can say of pictures.
        scale: Length of that part of a picture's vector.
        appearance: (D,), zeros and the mean appearance of pictures, which no text tells.
    """

    shift: Tensor
    scale: float
    appearance: Tensor

    @classmethod
    def between(
        cls, foundation: FrozenFoundation, texts: FloatArray, picture: FloatArray | None
    ) -> Self:
        """From vectors of many texts, (n, D), to the mean of many pictures' vectors, (D,).

        Where nobody knows that mean, nothing is moved.
        """
        fields = foundation.model.manifest.image.appearance
        width = foundation.appearance_width
        scale = 1.0 / math.sqrt(1.0 + fields.weight**2) if fields else 1.0
        if picture is None:
            none = torch.zeros(foundation.dimension)
            return cls(none, scale, none)
        meaning, appearance = torch.from_numpy(picture).clone(), torch.from_numpy(picture).clone()
        end = len(picture) - width
        meaning[end:], appearance[:end] = 0.0, 0.0
        return cls(meaning / scale - torch.from_numpy(texts.mean(axis=0)), scale, appearance)

    def crossed(self, vectors: Tensor) -> Tensor:
        """Vectors of texts (n, D), unit norm, as those of pictures."""
        moved = functional.normalize(vectors + self.shift, dim=-1)
        return self.scale * moved + self.appearance


class TextReader:
    """Reads texts as one start's query side: by its mapping, or their own words (`maps`)."""

    def __init__(
        self, start: ComposerFolder, foundation: FrozenFoundation, gap: ModalityGap, *, maps: bool
    ) -> None:
        """Read as `start` does; `maps`: by its mapping, which has to take vectors."""
        if maps and not maps_vectors(start):
            raise TrainingError(
                f"{start.folder} maps no vectors ({start.manifest.kind} of "
                f"{start.manifest.input}), so it cannot read texts so: set text_batch.read=words"
            )
        self.start, self.maps = start, maps
        self._foundation, self._gap = foundation, gap
        self._most_words = foundation.model.texts.max_tokens // 2
        self._mapping = tokens_of_vectors(start, foundation) if maps else None

    def found(self, texts: Sequence[str], vectors: FloatArray) -> float:
        """Share of n texts that the sentence made of their pseudo-words is nearest to."""
        model, template = self._foundation.model, self.start.manifest.templates.image
        words = [one.cpu().numpy() for one in self.tokens(texts, torch.from_numpy(vectors))]
        sentences, _ = model.texts.encode_spliced([template] * len(words), words)
        nearest = (sentences @ vectors.T).argmax(axis=1)
        return float((nearest == np.arange(len(nearest))).mean())

    def tokens(
        self, texts: Sequence[str], vectors: Tensor, noise: float = 0.0
    ) -> tuple[Tensor, ...]:
        """Pseudo-words of n texts, n of (L, Dw), where the foundation is.

        `vectors` are theirs, (n, D), on the CPU; `noise` is as of `with_noise`.
        """
        if self._mapping is None:
            embed, ids = self._foundation.embed, self._foundation.word_ids
            return tuple(embed(ids(text)[: self._most_words]) for text in texts)
        noisy = with_noise(self._foundation, vectors, noise) if noise else vectors
        mapped = self._mapping(np.asarray(self._gap.crossed(noisy), dtype=np.float32))
        return tuple(torch.from_numpy(mapped).to(self._foundation.device))


def maps_vectors(start: ComposerFolder) -> bool:
    """Whether a first stage makes pseudo-words of vectors, and of patches at most beside them."""
    return start.manifest.kind == "pseudo_word" and start.manifest.input != "pixels"
