"""The query side of a trained composer: from references to pseudo-words on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from composir.compose.base import QueryBatch
from composir.compose.trained import ComposerFolder
from composir.errors import ModelError, QueryError
from composir.model.base import SplicingModel
from composir.model.once import once_property
from composir.model.sessions import check_graph, checked_vectors, open_session, run_graph
from composir.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_CHUNK = 8
_OUTPUTS = ("tokens", "attention", "vector")
_INPUTS = {
    "pixels": {"pixels"},
    "patch_tokens": {"patch_tokens", "vector"},
    "vector": {"vector"},
}


@dataclass(frozen=True, slots=True)
class LightTokens:
    """What a query side makes of references.

    Attributes:
        words: (n, L, Dw) float32, the pseudo-words.
        attention: (n, L, h, w) float32, where each of them looked, 1 in sum; None where the graph
            does not tell.
        vectors: (n, D) float32, unit norm, the light side's estimate of v; None where it has none.
    """

    words: FloatArray
    attention: FloatArray | None = None
    vectors: FloatArray | None = None


class TokenGraph:
    """Runs a composer's query graph; its session opens at the first reference."""

    def __init__(self, composer: ComposerFolder, model: SplicingModel) -> None:
        """Prepare; nothing is read yet."""
        self._composer = composer
        self._model = model

    def prepare(self) -> None:
        """Open the graph now instead of at the first reference.

        Raises:
            BundleError: If it is damaged.
            ModelError: If the runtime refuses it.
        """
        _ = self._session

    def tokens(self, batch: QueryBatch) -> LightTokens:
        """Turn the references of a batch into pseudo-words.

        Args:
            batch: Queries with references: pictures, or vectors where the graph takes vectors.

        Raises:
            QueryError: If the batch lacks what the graph takes.
            ModelError: If the graph gives something else than its manifest says.
        """
        parts = [self._run(feeds) for feeds in self._feeds(batch)]
        return LightTokens(
            np.concatenate([part.words for part in parts]),
            _joined([part.attention for part in parts]),
            _joined([part.vectors for part in parts]),
        )

    def _feeds(self, batch: QueryBatch) -> Iterator[dict[str, Any]]:
        """Inputs of the graph, a few references at a time, so that few pictures are in memory."""
        made = self._composer.manifest
        if made.input == "vector":
            vectors = self._given(batch.image_vectors, "the references' vectors")
            return ({"vector": chunk} for chunk in _chunks(vectors, 256))
        if made.input == "patch_tokens" and batch.pixels is not None:
            return map(self._patches, _chunks(batch.pixels, _CHUNK))
        pictures = self._given(batch.images, "the references' pixels, not their vectors alone")
        prepare = self._pixels if made.input == "pixels" else self._patches_of
        return (prepare([opened() for opened in chunk]) for chunk in _chunks(pictures, _CHUNK))

    def _given(self, part: Any, what: str) -> Any:
        if part is None:
            raise QueryError(
                f"the composer {self._composer.manifest.name} needs {what}; "
                "give pictures, or use another composer, e.g. sum"
            )
        return part

    def _pixels(self, pictures: Sequence[Image.Image]) -> dict[str, Any]:
        spec = self._composer.manifest.preprocess
        assert spec is not None  # the manifest was checked
        return {"pixels": spec.apply_each(pictures)}

    def _patches_of(self, pictures: Sequence[Image.Image]) -> dict[str, Any]:
        return self._patches(self._model.image_spec.apply_each(pictures))

    def _patches(self, pixels: PixelArray) -> dict[str, Any]:
        vectors, patches = self._model.encode_patches(pixels)
        return {"patch_tokens": patches, "vector": vectors}

    def _run(self, feeds: Mapping[str, Any]) -> LightTokens:
        outputs = [name for name in _OUTPUTS if name in self._gives]
        made = run_graph(self._session, self._path, outputs, feeds)
        found = dict(zip(outputs, made, strict=True))
        words = checked_words(self._composer, found["tokens"])
        vectors = found.get("vector")
        if vectors is not None:
            width = self._model.dimension
            vectors = checked_vectors(self._path, vectors, len(words), width)
        return LightTokens(words, found.get("attention"), vectors)

    @property
    def _path(self) -> str:
        return str(self._composer.file(self._composer.manifest.graph))

    @once_property
    def _session(self) -> InferenceSession:
        made = self._composer.manifest
        path = self._composer.file(made.graph)
        session = open_session(path, self._model.threads)
        check_graph(session, path, _INPUTS[made.input], {"tokens", *(["vector"] * made.vector)})
        return session

    @once_property
    def _gives(self) -> set[str]:
        given = {output.name for output in self._session.get_outputs()}
        return given if self._composer.manifest.vector else given - {"vector"}


def checked_words(composer: ComposerFolder, words: FloatArray) -> FloatArray:
    """Refuse pseudo-words that are not what a composer's manifest says.

    Returns:
        The same, (n, L, Dw) float32.
    """
    made = composer.manifest
    expected = (made.tokens, made.word_dimension)
    if words.ndim != 3 or words.shape[1:] != expected:
        raise ModelError(
            f"the composer {made.name} makes pseudo-words of shape (n, {expected[0]}, "
            f"{expected[1]}), not {words.shape}"
        )
    if not np.isfinite(words).all():
        raise ModelError(f"the composer {made.name}: pseudo-words that are NaN or infinite")
    return words.astype(np.float32, copy=False)


def _joined(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None


def _chunks(items: Any, size: int) -> Iterator[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))
