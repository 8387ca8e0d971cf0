"""Triplets of one split as one query side puts them, and how well queries find their targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composir.bench.significance import Outcomes
from composir.compose.trained import Templates
from composir.types import FloatArray

CUTS = (1, 5, 10)
Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IndexedTriplets:
    """Triplets as rows of the vectors that are searched: of images, or of texts.

    Attributes:
        references: (m,) rows of the references.
        texts: m modification texts.
        targets: m sets of rows that answer.
        shown: m tuples of rows that were shown and not chosen.
        text_vectors: (m, D) float32, unit norm, of the modification texts.
        kept_back: m sets of rows that answer too, but are not trained on.
    """

    references: Rows
    texts: tuple[str, ...]
    targets: tuple[frozenset[int], ...]
    shown: tuple[tuple[int, ...], ...]
    text_vectors: FloatArray
    kept_back: tuple[frozenset[int], ...] = ()

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class FrozenTriplets:
    """Triplets of one split with everything that is frozen about them for one query side.

    Attributes:
        indexed: As rows of what is searched.
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
        return len(self.indexed)


def ranks(scores: FloatArray, triplets: IndexedTriplets) -> Rows:
    """Rank of the best target of each triplet; the reference does not take part, ties count ahead.

    Args:
        scores: (m, n), higher is better.
        triplets: Their references and targets are columns.

    Returns:
        (m,) int64, from 1.
    """
    found = np.empty(len(triplets), dtype=np.int64)
    for row, line in enumerate(scores):
        targets = sorted(triplets.targets[row])
        ahead = line >= line[targets].max()
        ahead[[*targets, triplets.references[row]]] = False
        found[row] = 1 + np.count_nonzero(ahead)
    return found


def found_within(scores: FloatArray, triplets: IndexedTriplets) -> Outcomes:
    """(m, len(CUTS)) float64, 1 where a target is among the first k; arguments as of `ranks`."""
    place = ranks(scores, triplets)
    return np.stack([place <= cut for cut in CUTS], axis=1).astype(np.float64)


def recalls(scores: FloatArray, triplets: IndexedTriplets) -> dict[str, float]:
    """Recall at 1, 5 and 10, percent: the share of triplets with any target among the first k."""
    found = ranks(scores, triplets)
    return {f"recall@{k}": 100.0 * float((found <= k).mean()) for k in CUTS}
