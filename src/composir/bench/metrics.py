"""Ranks and what is made of them, vectorised, with every tie broken against the method.

Scores are compared, never sorted blindly: the rank of a right answer counts every wrong answer
that scores *at least* as much. A constant score therefore earns the worst figure possible, in
whatever order the gallery lists its images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.errors import BenchError

Ranks: TypeAlias = NDArray[np.int64]
Scores: TypeAlias = NDArray[np.floating[Any]]

ABSENT = np.iinfo(np.int64).max
"""Rank of a place in a padded array that holds no target."""

CRITERION = ("recall@10", "map@10")
"""Their mean decides between settings, of baselines and of blends alike: among a few hundred
queries many settings find as many targets in the first ten, and how early they do tells them apart.
"""

_MANY_TARGETS = 12


def refuse_unranked(scores: Scores, what: str) -> None:
    """Check that scores can be ranked."""
    if scores.size and not (np.isfinite(scores.min()) and np.isfinite(scores.max())):
        rows = np.flatnonzero(~np.isfinite(scores).all(axis=-1))
        raise BenchError(
            f"{what}: scores are NaN or infinite (first in row {rows[0]}); they cannot be ranked"
        )


def target_ranks(
    scores: Scores, targets: Sequence[Sequence[int]], excluded: Sequence[int | None] | None = None
) -> Ranks:
    """Rank every target among all candidates, ties broken against it.

    Args:
        scores: (n, g); higher is better.
        targets: For each query, columns of its right answers, without duplicates.
        excluded: For each query, a column that takes no part, e.g. the reference's; or None.

    Returns:
        (n, t) int64, each row the ranks of that query's targets, ascending from 1, padded with
        `ABSENT` up to the largest number of targets.
    """
    refuse_unranked(scores, "ranking")
    return TargetPlaces.of(targets, excluded).ranks(scores[:, None])[:, 0]


@dataclass(frozen=True, slots=True)
class TargetPlaces:
    """Where the right answers of n queries lie in their gallery.

    Attributes:
        aside: (n, t + 1) int64, columns that are no wrong answers: first the right ones, then what
            takes no part; filled up with any of these.
        present: (n, t), where of these the right ones are.
    """

    aside: Ranks
    present: NDArray[np.bool_]

    @classmethod
    def of(
        cls, targets: Sequence[Sequence[int]], excluded: Sequence[int | None] | None = None
    ) -> TargetPlaces:
        """What `target_ranks` takes, checked."""
        width = max((len(columns) for columns in targets), default=0)
        present = np.array([len(own) for own in targets])[:, None] > np.arange(width)
        aside = np.zeros((len(targets), width + 1), dtype=np.int64)
        for row, own in enumerate(targets):
            left_out = None if excluded is None else excluded[row]
            if len(set(own)) != len(own):
                raise BenchError(f"query in row {row}: duplicate targets")
            if left_out is not None and left_out in own:
                raise BenchError(f"query in row {row}: a target is excluded from its own gallery")
            filling = own[0] if len(own) else 0
            aside[row] = filling if left_out is None else left_out
            aside[row, : len(own)] = own
        return cls(aside, present)

    def part(self, rows: slice) -> TargetPlaces:
        """Some of the queries."""
        return TargetPlaces(self.aside[rows], self.present[rows])

    def ranks(self, scores: Scores) -> Ranks:
        """Rank the targets by each of m scores, (n, m, g); (n, m, t) as `target_ranks` gives."""
        present, aside = self.present[:, None], self.aside[:, None]
        own = np.take_along_axis(scores, aside[..., :-1], axis=2)
        own = -np.sort(-np.where(present, own, -np.inf), axis=2)
        wrong = scores.copy()
        np.put_along_axis(wrong, aside, -np.inf, axis=2)
        places = _at_least(wrong, own) + np.arange(1, own.shape[2] + 1)
        return np.where(present, places, ABSENT)


def _at_least(scores: Scores, thresholds: Scores) -> Ranks:
    """How many of (n, m, g) scores reach each of their (n, m, t) thresholds."""
    if thresholds.shape[2] <= _MANY_TARGETS:
        counts = np.empty(thresholds.shape, dtype=np.int64)
        for place in range(thresholds.shape[2]):
            reached = scores >= thresholds[..., place, None]
            counts[..., place] = np.count_nonzero(reached, axis=2)
        return counts
    rows = zip(np.sort(scores, axis=2), thresholds, strict=True)
    below = [[np.searchsorted(*pair) for pair in zip(*row, strict=True)] for row in rows]
    return np.asarray(scores.shape[2] - np.array(below), dtype=np.int64)


def top_columns(
    scores: Scores, k: int, targets: Sequence[int] = (), excluded: int | None = None
) -> Ranks:
    """The k best columns of one query, best first, ties broken against the targets.

    Args:
        scores: (g,); higher is better.
        k: How many; fewer come back where there are fewer candidates.
        targets: Columns of the right answers.
        excluded: A column that takes no part.

    Returns:
        (min(k, candidates),) int64 columns; equal scores in ascending order of columns, right
        answers behind wrong ones.
    """
    candidates = len(scores) - (excluded is not None)
    k = min(k, candidates)
    if k < 1:
        return np.empty(0, dtype=np.int64)
    taken = min(k + (excluded is not None), len(scores))
    limit = np.partition(scores, len(scores) - taken)[len(scores) - taken]
    columns = np.flatnonzero(scores >= limit)
    columns = columns[columns != excluded] if excluded is not None else columns
    right = np.zeros(len(scores), dtype=np.bool_)
    right[list(targets)] = True
    order = np.lexsort((columns, right[columns], -scores[columns]))
    return columns[order[:k]]


def recall(ranks: Ranks, k: int) -> NDArray[np.float64]:
    """Whether any target is among the first k.

    Args:
        ranks: (n, t) from `target_ranks`.
        k: Depth.

    Returns:
        (n,) float64, 0 or 1.
    """
    if ranks.shape[1] == 0:
        return np.zeros(len(ranks))
    return np.asarray(ranks.min(axis=1) <= k, dtype=np.float64)


def set_recall(ranks: Ranks, k: int) -> NDArray[np.float64]:
    """Share of a query's targets that are among the first k.

    Not the hit rate: Pic2Word's domain conversion divides by the number of positives. A query
    without any positive scores 0, as in the benchmark's own code.

    Args:
        ranks: (n, t) from `target_ranks`.
        k: Depth.

    Returns:
        (n,) float64, 0 to 1.
    """
    truths = (ranks != ABSENT).sum(axis=1)
    return np.asarray((ranks <= k).sum(axis=1) / np.maximum(truths, 1), dtype=np.float64)


def average_precision(ranks: Ranks, k: int) -> NDArray[np.float64]:
    """AP@k as CIRCO defines it: precision summed at the hits, over min(number of truths, k).

    Args:
        ranks: (n, t) from `target_ranks`.
        k: Depth.

    Returns:
        (n,) float64, 0 to 1.
    """
    truths = (ranks != ABSENT).sum(axis=1)
    found = np.arange(1, ranks.shape[1] + 1)
    precision = np.where(ranks <= k, found / np.maximum(ranks, 1), 0.0)
    return np.asarray(precision.sum(axis=1) / np.maximum(np.minimum(truths, k), 1), np.float64)


def parse_metric(name: str) -> tuple[str, int]:
    """Split a metric's name into what it measures and its depth."""
    kind, _, depth = name.partition("@")
    # At most nine digits: int() refuses thousands of them, and no gallery is as large.
    if kind not in METRIC_LABELS or not re.fullmatch("0{0,9}[1-9][0-9]{0,8}", depth):
        known = ", ".join(f"{label}@K" for label in METRIC_LABELS)
        raise BenchError(f"unknown metric {name!r}; known are {known} with K >= 1")
    return kind, int(depth)


METRIC_LABELS = {
    "recall": "R",
    "set_recall": "set R",
    "recall_subset": "Rsubset",
    "map": "mAP",
}


def metric_label(name: str) -> str:
    """A metric's name as papers print it, e.g. `R@10` for `recall@10`."""
    kind, depth = parse_metric(name)
    return f"{METRIC_LABELS[kind]}@{depth}"
