"""Finding pairs: pictures near each other, and pictures that share all attributes but one.

All pairs come as endless-looking streams in rounds (first one pair for every reference, then a
second, ...), so that few triplets are spread over all pictures, and nothing is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from composir.triplets.column_roles import Grouping, groups_of
from composir.triplets.records import Pair, PairKind, SourceImage, pair_rng
from composir.types import FloatArray

_BLOCK = 512
_LOOKED_AT = 32


def neighbours(matrix: FloatArray, k: int, below: float) -> NDArray[np.int32]:
    """Nearest rows of each row, near duplicates left out.

    Works in blocks of rows: 512 x n similarities at a time (61 MB for 30,000 pictures).

    Args:
        matrix: (n, D) float32, unit norm.
        k: How many.
        below: Rows at least this similar are near duplicates.
    """
    width = min(k, len(matrix) - 1)
    found = np.full((len(matrix), width), -1, dtype=np.int32)
    for start in range(0, len(matrix), _BLOCK):
        scores = matrix[start : start + _BLOCK] @ matrix.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        scores[scores >= below] = -np.inf
        best = np.argpartition(scores, -width, axis=1)[:, -width:]
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        is_real = np.isfinite(np.take_along_axis(values, order, axis=1))
        found[start : start + len(scores)] = np.where(is_real, best, -1)
    return found


def near_pairs(
    kind: PairKind, near: NDArray[np.int32], images: Sequence[SourceImage], seed: int
) -> Iterator[Pair]:
    """Pairs of neighbours, in rounds.

    Args:
        kind: What made them neighbours.
        near: (n, k) from `neighbours`.
        images: n pictures.
        seed: Decides in which order a picture's neighbours come.
    """
    if not near.size:
        return
    orders = np.stack([_order(seed, kind, image.id, near.shape[1]) for image in images])
    for turn in range(near.shape[1]):
        for row in pair_rng(seed, kind, str(turn)).permutation(len(images)):
            target = int(near[row, orders[row, turn]])
            if target >= 0:
                yield Pair(kind, int(row), target)


def _order(seed: int, kind: str, name: str, width: int) -> NDArray[np.int8]:
    return pair_rng(seed, kind, name).permutation(width).astype(np.int8)


def attribute_pairs(
    grouping: Grouping, images: Sequence[SourceImage], matrix: FloatArray, below: float, seed: int
) -> Iterator[Pair]:
    """Pairs that differ in one column, in rounds: each time another value of it.

    Args:
        grouping: What differs, what must agree.
        images: n pictures.
        matrix: (n, D) float32, their vectors: among some pictures with the other value, the one
            that looks most like the reference is taken.
        below: Pictures at least this similar are near duplicates and are not taken.
        seed: Decides which values and which pictures come first.
    """
    groups = groups_of(images, grouping)
    members = [(row, group, value) for group in groups for value in group for row in group[value]]
    turns = max((len(group) for group in groups), default=1) - 1
    for turn in range(turns):
        for place in pair_rng(seed, grouping.vary, str(turn)).permutation(len(members)):
            row, group, value = members[place]
            others = [name for name in group if name != value]
            if turn >= len(others):
                continue
            rng = pair_rng(seed, grouping.vary, images[row].id)
            new = others[rng.permutation(len(others))[turn]]
            target = _lookalike(row, group[new], matrix, below, rng)
            if target is not None:
                equal = tuple(group[new]) if grouping.has_context else ()
                yield Pair("attribute", row, target, grouping.vary, value, new, equal)


def _lookalike(
    row: int, candidates: list[int], matrix: FloatArray, below: float, rng: np.random.Generator
) -> int | None:
    some = np.array(candidates)
    if len(some) > _LOOKED_AT:
        some = rng.choice(some, _LOOKED_AT, replace=False)
    scores = matrix[some] @ matrix[row]
    scores[scores >= below] = -np.inf
    best = int(np.argmax(scores))
    return int(some[best]) if np.isfinite(scores[best]) else None


def alternate(streams: Iterable[Iterator[Pair]]) -> Iterator[Pair]:
    """One of each stream in turn, for as long as there are any."""
    running = list(streams)
    while running:
        ended = []
        for stream in running:
            pair = next(stream, None)
            if pair is None:
                ended.append(stream)
            else:
                yield pair
        running = [stream for stream in running if stream not in ended]
