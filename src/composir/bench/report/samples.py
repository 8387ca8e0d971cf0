"""Chooses the queries that a report shows: best, worst, typical, and what one method got alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composir.bench.metrics import Ranks
from composir.bench.results import Result, TaskResult

DEPTH = 10
"""A query counts as answered when a target is among this many hits."""


@dataclass(frozen=True, slots=True)
class Group:
    """Queries shown under one heading.

    Attributes:
        title: For people.
        note: One sentence.
        rows: Places of the queries in the task.
        methods: Which methods' hits are shown.
    """

    title: str
    note: str
    rows: tuple[int, ...]
    methods: tuple[int, ...]


def best_rank(task: TaskResult) -> Ranks:
    """(n,) rank of the best target that counts; the subset's where the gallery is not ranked."""
    rankings = task.rankings()
    ranks = rankings.ranks if rankings.primary is None else rankings.primary
    if ranks.shape[1] == 0:
        ranks = rankings.subset if rankings.subset is not None else ranks
    if ranks.shape[1] == 0:
        return np.full(task.queries, np.iinfo(np.int64).max)
    return np.asarray(ranks.min(axis=1))


def depth_of(task: TaskResult) -> int:
    """How many hits count as found: ten, or one where little is ranked."""
    return DEPTH if task.ranks.shape[1] and task.gallery > 2 * DEPTH else 1


def choose(
    results: Sequence[Result], methods: Sequence[str], number: int, *, seed: int = 0, each: int = 4
) -> tuple[Group, ...]:
    """Choose queries of one task."""
    ranks = np.stack([best_rank(result.tasks[number]) for result in results])
    depth = depth_of(results[0].tasks[number])
    order = _by_score(results, number)
    best = order[0]
    rng = np.random.default_rng(seed)
    shown = tuple(order[:2])
    groups = [_contrast(ranks, methods, one, two, depth, each) for one, two in _pairs(order)]
    groups += [
        _group("Typical", "drawn at random", _drawn(np.ones_like(ranks[0]) > 0, rng, each), shown),
        _group(
            f"Best of {methods[best]}",
            "a target came first; drawn at random among those",
            _drawn(ranks[best] == 1, rng, each),
            shown,
        ),
        _group(
            f"Worst of {methods[best]}",
            "the best target came last of all queries",
            tuple(np.argsort(-ranks[best], kind="stable")[:each].tolist()),
            shown,
        ),
    ]
    return tuple(group for group in groups if group.rows)


def _group(title: str, note: str, rows: tuple[int, ...], methods: tuple[int, ...]) -> Group:
    return Group(title, note, rows, methods)


def _by_score(results: Sequence[Result], number: int) -> list[int]:
    headline = results[0].tasks[number].headline
    scores = [result.tasks[number].outcomes([headline]).mean() for result in results]
    return sorted(range(len(scores)), key=lambda method: -scores[method])


def _pairs(order: Sequence[int]) -> list[tuple[int, int]]:
    """The two best methods, both ways."""
    return [(order[0], order[1]), (order[1], order[0])] if len(order) > 1 else []


def _contrast(
    ranks: NDArray[np.int64],
    methods: Sequence[str],
    one: int,
    two: int,
    depth: int,
    each: int,
) -> Group:
    alone = np.flatnonzero((ranks[one] <= depth) & (ranks[two] > depth))
    order = np.lexsort((alone, -ranks[two][alone], ranks[one][alone]))
    rows = tuple(alone[order[:each]].tolist())
    return Group(
        f"{methods[one]} got, {methods[two]} did not",
        f"{len(alone):,} queries have a target in the first {depth} with the one and not with the "
        f"other; the clearest are shown",
        rows,
        (one, two),
    )


def _drawn(mask: NDArray[np.bool_], rng: np.random.Generator, each: int) -> tuple[int, ...]:
    rows = np.flatnonzero(mask)
    return tuple(sorted(rng.permutation(rows)[:each].tolist()))


def alone_counts(results: Sequence[Result], number: int) -> NDArray[np.int64]:
    """(methods, methods): queries that the row's method answered and the column's did not."""
    depth = depth_of(results[0].tasks[number])
    found = np.stack([best_rank(result.tasks[number]) <= depth for result in results])
    return np.asarray((found[:, None] & ~found[None]).sum(axis=2), dtype=np.int64)
