"""A model that remembers texts, so that many settings of a composer encode each text once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from composir.model.base import EmbeddingModel
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def remembering_texts(model: EmbeddingModel) -> EmbeddingModel:
    """Wrap a model: equal texts are encoded once, everything else is the model's own."""
    return cast(EmbeddingModel, _TextMemo(model))
