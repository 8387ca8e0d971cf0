"""Hard negatives: images that a lazy composition would find instead of the target.

- the *reference* itself: found by a query that ignores the text;
- its *neighbours*: found by a query that keeps too much of the reference;
- what fits the *text* alone: found by a query that ignores the reference;
- what was *shown* and not clicked, where there is a click log.

Candidates of each kind come from cached vectors, once. Every `refresh_every` steps they are put in
the order in which the current queries find them, so that the negatives stay hard (Map-to-Compose,
arXiv 2504.17990, stage 2; the refreshing as in ANCE, arXiv 2007.00808). A target, and what is all
but the same picture as a target, is never a negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import model_validator

from composir.train.composing.frozen_triplets import IndexedTriplets, Rows
from composir.train.config import Between, Count, Settings, Steps
from composir.types import FloatArray

NONE = -1
BLOCK = 256


class MiningConfig(Settings):
    """How many negatives of each kind a query gets at a step; 0 switches a kind off.

    Attributes:
        reference: The reference itself, 1 or 0.
        neighbours: Nearest images of the reference.
        text: Images that fit the text alone.
        shown: Images that were shown for the query and not chosen.
        pool: Candidates of each kind.
        hardest: How many of them, hardest for the current query first, a step draws from.
        refresh_every: Steps between two refreshings; 0 keeps the first order.
        same_picture: Images at least this similar (cosine) to a target count as the target.
    """

    reference: Annotated[int, Between(0, 1)] = 1
    neighbours: Count = 4
    text: Count = 4
    shown: Count = 4
    pool: Count = 64
    hardest: Count = 24
    refresh_every: Steps = 50
    same_picture: Annotated[float, Between(-10.0, 10.0)] = 0.98

    @model_validator(mode="after")
    def _draws_from_enough(self) -> Self:
        if self.hardest < max(self.neighbours, self.text, self.shown):
            raise ValueError("hardest must not be below the negatives that a step draws")
        if self.pool < self.hardest:
            raise ValueError("pool must not be below hardest")
        return self


class HardNegatives:
    """Candidates of every kind for every triplet, ordered by hardness.

    Attributes:
        pools: By kind, (m, pool) int64 rows of images, hardest first, `NONE` behind the last.
    """

    def __init__(
        self, triplets: IndexedTriplets, images: FloatArray, config: MiningConfig, seed: int
    ) -> None:
        """Find the candidates of m training triplets among images, (n, D) float32, unit norm."""
        self.config, self._seed, self._images = config, seed, images
        self._references = triplets.references
        kept_back = triplets.kept_back or (frozenset[int](),) * len(triplets)
        self._answers = [
            _same(images, targets | more, config.same_picture)
            for targets, more in zip(triplets.targets, kept_back, strict=True)
        ]
        # A reference that looks all but like its target would push the target away too.
        pairs = zip(triplets.references.tolist(), self._answers, strict=True)
        self._own = np.array([NONE if row in same else row for row, same in pairs], dtype=np.int64)
        self.pools: dict[str, Rows] = {}
        if config.neighbours:
            self.pools["neighbours"] = self._nearest(images[triplets.references])
        if config.text:
            self.pools["text"] = self._nearest(triplets.text_vectors)
        if config.shown and any(triplets.shown):
            self.pools["shown"] = self._of_lists(triplets.shown)

    @property
    def width(self) -> int:
        """Negatives a triplet at a step."""
        return self.config.reference + sum(self._wanted(kind) for kind in self.pools)

    def refresh_due(self, step: int) -> bool:
        """Whether the order has to be renewed before this step."""
        every = self.config.refresh_every
        return bool(every and self.pools and (step - 1) % every == 0)

    def refresh(self, queries: FloatArray) -> None:
        """Put the candidates in the order in which queries, (m, D) float32, find them now."""
        for kind, pool in self.pools.items():
            ordered = np.empty_like(pool)
            for start in range(0, len(pool), BLOCK):
                block = pool[start : start + BLOCK]
                vectors = self._images[np.maximum(block, 0)]
                scores = np.einsum("mpd,md->mp", vectors, queries[start : start + BLOCK])
                scores[block == NONE] = -np.inf
                order = np.argsort(-scores, axis=1, kind="stable")
                ordered[start : start + BLOCK] = np.take_along_axis(block, order, axis=1)
            self.pools[kind] = ordered

    def draw(self, rows: Rows, step: int) -> Rows:
        """Negatives of some triplets (b,) at a step, a function of order and step alone.

        Returns:
            (b, width) rows of images, `NONE` where a triplet has too few candidates.
        """
        generator = np.random.default_rng((self._seed, step))
        parts = []
        if self.config.reference:
            parts.append(self._own[rows][:, None])
        for kind, pool in self.pools.items():
            hardest = pool[rows, : self.config.hardest]
            # Places without a candidate come last, so that they are drawn only for want of others.
            keys = generator.random(hardest.shape) + 2.0 * (hardest == NONE)
            chosen = np.argsort(keys, axis=1)[:, : self._wanted(kind)]
            parts.append(np.take_along_axis(hardest, chosen, axis=1))
        return np.concatenate(parts, axis=1) if parts else np.empty((len(rows), 0), np.int64)

    def answers(self, row: int) -> frozenset[int]:
        """Images that must never be a negative of a triplet: its targets and their doubles."""
        return self._answers[row]

    def _wanted(self, kind: str) -> int:
        return min(int(getattr(self.config, kind)), len(self.pools[kind][0]))

    def _nearest(self, vectors: FloatArray) -> Rows:
        """Nearest images of each triplet's vector, (m, pool), without answers and reference."""
        found = np.full((len(vectors), self.config.pool), NONE, dtype=np.int64)
        for start in range(0, len(vectors), BLOCK):
            scores = vectors[start : start + BLOCK] @ self._images.T
            for row, line in enumerate(scores, start=start):
                excluded = [*self._answers[row], self._references[row]]
                line[excluded] = -np.inf
                nearest = _top(line, min(self.config.pool, len(line) - len(set(excluded))))
                found[row, : len(nearest)] = nearest
        return found

    def _of_lists(self, lists: Sequence[tuple[int, ...]]) -> Rows:
        found = np.full((len(lists), self.config.pool), NONE, dtype=np.int64)
        for row, listed in enumerate(lists):
            kept = [image for image in listed if image not in self._answers[row]]
            found[row, : len(kept)] = kept[: self.config.pool]
        return found


def _same(images: FloatArray, targets: frozenset[int], similarity: float) -> frozenset[int]:
    vectors = images[sorted(targets)]
    doubles = np.flatnonzero((images @ vectors.T).max(axis=1) >= similarity)
    return targets | {int(image) for image in doubles}


def _top(scores: FloatArray, count: int) -> Rows:
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    nearest = np.argpartition(-scores, min(count, len(scores) - 1))[:count]
    return nearest[np.argsort(-scores[nearest], kind="stable")].astype(np.int64)
