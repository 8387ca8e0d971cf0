"""What holds an adapted tower near the frozen one: captions and image-only sentences stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from composir.train.composing.adapted_queries import EVALUATION_BATCH, AdaptedQueries
from composir.train.losses import cosine_loss
from composir.train.sentences import read_embedded


@dataclass(frozen=True, slots=True)
class ImageSentences:
    """Sentences without a modification, and where the frozen tower puts them.

    Attributes:
        template: With `{}`.
        tokens: n of (L, Dw).
        vectors: (n, D), unit norm.
    """

    template: str
    tokens: Sequence[Tensor]
    vectors: Tensor


class AnchorLoss:
    """`1 - cosine` of the adapted tower to the frozen one."""

    def __init__(self, queries: AdaptedQueries, captions: Sequence[str], count: int) -> None:
        """Encode the captions.

        Args:
            queries: Through the adapted tower.
            captions: Plain texts; may be none.
            count: How many a step; 0 leaves them out.
        """
        self._queries, self._count = queries, count
        self._captions = tuple(dict.fromkeys(captions))
        self._vectors = None
        if self._captions:
            self._vectors = queries.foundation.encode_texts(self._captions)

    def loss(self, sentences: ImageSentences | None, generator: np.random.Generator) -> Tensor:
        """Of some captions, drawn with the generator, and of the sentences."""
        losses = []
        if self._vectors is not None and self._count:
            count = min(self._count, len(self._captions))
            chosen = generator.choice(len(self._captions), count, replace=False)
            moved = self._plain([self._captions[row] for row in chosen])
            losses.append(cosine_loss(moved, self._vectors[chosen]))
        if sentences is not None and len(sentences.tokens):
            moved = self._queries.sentences(sentences.template, sentences.tokens)
            losses.append(cosine_loss(moved, sentences.vectors))
        device = self._queries.foundation.device
        return torch.stack(losses).mean() if losses else torch.zeros((), device=device)

    def cosine(self) -> float:
        """Mean cosine of captions to where the frozen tower puts them; 1 where there are none."""
        if self._vectors is None:
            return 1.0
        with torch.inference_mode():
            moved = self._plain(self._captions[:EVALUATION_BATCH])
        return float((moved * self._vectors[: len(moved)]).sum(-1).mean())

    def _plain(self, texts: Sequence[str]) -> Tensor:
        """Sentences without pseudo-words through the adapted tower, (n, D)."""
        foundation = self._queries.foundation
        words = [foundation.embed(ids) for ids in foundation.model.texts.tokenise(texts)]
        return read_embedded(foundation, self._queries.tower.adapted, words).vectors
