"""Vectors of phrases that come up again and again, encoded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from composir.model.base import EmbeddingModel
from composir.types import FloatArray

_MOST = 4096


class PhraseVectors:
    """Encodes texts and remembers the last few thousand."""

    def __init__(self, model: EmbeddingModel) -> None:
        """Remember nothing yet."""
        self._model = model
        self._known: dict[str, FloatArray] = {}

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of some texts, at least one; new ones in one call of the model.

        Returns:
            (n, D) float32, unit norm.
        """
        known = self._known  # another thread may put a fresh one in its place
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            fresh = dict(zip(new, self._model.encode_texts(new), strict=True))
            if len(known) + len(new) > _MOST:
                known = {text: known[text] for text in texts if text in known}
            self._known = known = {**known, **fresh}
        return np.stack([known[text] for text in texts])
