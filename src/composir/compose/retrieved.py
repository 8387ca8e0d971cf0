"""What a picture shows, said by the phrases that fit it best: it stands in for a caption."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from composir.errors import QueryError
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

_MOST = 4096


class PhraseVectors:
    """Encodes phrases that come up again and again, and remembers the last few thousand.

    Those whose vectors come with the model are never encoded.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        """Remember nothing yet but what comes with the model, which is read at the first text."""
        self._model = model
        self._known: dict[str, FloatArray] = {}

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of some texts, at least one; new ones in one call of the model.

        Returns:
            (n, D) float32, unit norm.
        """
        packaged = self._model.known_texts
        known = self._known  # another thread may put a fresh one in its place
        new = [t for t in dict.fromkeys(texts) if t not in packaged and t not in known]
        if new:
            fresh = dict(zip(new, self._model.encode_texts(new), strict=True))
            if len(known) + len(new) > _MOST:
                known = {text: known[text] for text in texts if text in known}
            self._known = known = {**known, **fresh}
        return np.stack([packaged[t] if t in packaged else known[t] for t in texts])


@cache
def packaged_things() -> tuple[str, ...]:
    """Everyday things and scenes, `things.txt`; kept few: the first query may encode them all."""
    text = (files("composir.compose") / "things.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def nearest_things(pictures: FloatArray, encode: PhraseVectors, count: int) -> list[list[str]]:
    """The things that pictures show most likely.

    Args:
        pictures: (n, D) float32, unit norm.
        encode: Encodes the things.
        count: How many of each.
    """
    things = packaged_things()
    order = np.argsort(-(pictures @ encode(things).T), axis=1, kind="stable")
    return [[things[place] for place in row[:count]] for row in order]


def check_count(name: str, value: float) -> None:
    """Refuse a setting that is no number of things."""
    if value < 1 or value != int(value):
        raise QueryError(f"{name} must be a whole number of at least 1, not {value}")
