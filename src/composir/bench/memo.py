"""Memory for benchmarks: many settings of a composer encode each text and each sentence once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from composir.compose import load_composer
from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.compose.blend import Terms
from composir.compose.spliced import SplicedComposer
from composir.model.base import EmbeddingModel, SplicingModel
from composir.types import FloatArray


class _TextMemo:
    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._known: dict[str, FloatArray] = {}

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._model.encode_texts(new), strict=True))
        return np.stack([self._known[text] for text in texts])

    @property
    def splicing(self) -> SplicingModel | None:
        """Itself, so that trained composers too ask for texts here."""
        return None if self._model.splicing is None else cast(SplicingModel, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def remembering_texts(model: EmbeddingModel) -> EmbeddingModel:
    """Wrap a model: equal texts are encoded once, everything else is the model's own."""
    return cast(EmbeddingModel, _TextMemo(model))


Settings: TypeAlias = Mapping[str, float | int | str]
_Known: TypeAlias = dict[tuple[object, ...], Terms]


class _TermsMemo:
    """A trained composer that shares what its blend is made of with others of its kind."""

    def __init__(self, composer: SplicedComposer, known: _Known) -> None:
        self._composer = composer
        self._known = known

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        images = None if batch.images is None else tuple(batch.images)
        vectors = None if batch.image_vectors is None else batch.image_vectors.tobytes()
        key = (batch.texts, images, vectors)
        if key not in self._known:
            self._known[key] = self._composer.terms(batch).remembered()
        return self._composer.compose_terms(self._known[key], batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._composer, name)


class SharedComposers:
    """Composers of one model that encode each text, and each sentence of theirs, once for all."""

    def __init__(self, model: EmbeddingModel) -> None:
        """Remember nothing yet."""
        self._model = remembering_texts(model)
        self._known: dict[str, _Known] = {}

    def __call__(self, name: str, settings: Settings) -> Composer:
        """The composer of a name with some settings; takes what `load_composer` takes."""
        composer = load_composer(name, self._model, **settings)
        if not isinstance(composer, SplicedComposer):
            return composer
        return cast(Composer, _TermsMemo(composer, self._known.setdefault(name, {})))
