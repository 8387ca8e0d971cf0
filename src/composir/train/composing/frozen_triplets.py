"""Triplets of one split as one query side puts them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from composir.compose.trained import Templates
from composir.train.composing.mining import IndexedTriplets


@dataclass(frozen=True, slots=True)
class FrozenTriplets:
    """Triplets of one split with everything that is frozen about them for one query side.

    Attributes:
        indexed: As rows of the vectors that are searched: of images, or of texts.
        templates: The query side's sentences.
        tokens: m of (L, Dw) float32, of their references.
        sentences: (m, D) float32, s: the references' image-only sentences in the frozen tower.
        vectors: (m, D) float32, v: the references' vectors, the gallery's or the query side's own.
    """

    indexed: IndexedTriplets
    templates: Templates
    tokens: tuple[Tensor, ...]
    sentences: Tensor
    vectors: Tensor

    def on(self, device: torch.device) -> FrozenTriplets:
        """The same with its tensors on a device."""
        return replace(
            self,
            tokens=tuple(one.to(device) for one in self.tokens),
            sentences=self.sentences.to(device),
            vectors=self.vectors.to(device),
        )

    def __len__(self) -> int:
        """How many."""
        return len(self.indexed)
