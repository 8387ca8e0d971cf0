"""How sure a score is, and whether two differ: seeded, vectorised, over queries or their groups.

*Intervals*: the percentile bootstrap (Efron 1979) over queries, 1,000 resamples, 95 %.
*Pairs*: the sign-flip permutation test on the differences of the same queries (two-sided, 10,000
flips; Smucker, Allan and Carterette, CIKM 2007, compare it with others for retrieval). When several
differences are tested at once, p-values are corrected by Holm's method, and say so.
*Groups*: queries of one product or one pair of kinds share images and words, so they answer alike.
Whole groups are then drawn, and flipped, together; without groups every query is its own.
Tasks that are averaged (FashionIQ's categories) are resampled and flipped each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.errors import BenchError

Outcomes: TypeAlias = NDArray[np.float64]
Groups: TypeAlias = NDArray[np.intp]
"""(n,) number of each query's group, counted from 0, none left out."""

RESAMPLES = 1_000
FLIPS = 10_000
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over queries and its 95 % bootstrap interval, on the scale of the outcomes."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The difference of two runs on the same queries.

    Attributes:
        difference: Second minus first, on the scale of the outcomes.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        p_value: Two-sided, of the sign-flip permutation test; not corrected.
    """

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap(
    parts: Sequence[Outcomes],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    groups: Sequence[Groups] | None = None,
) -> tuple[Interval, ...]:
    """Mean over queries, averaged over parts, with percentile bootstrap intervals.

    Args:
        parts: One array a task, each (n, m): n queries (may differ), m metrics (the same for all).
        seed: Of the resampling; the same seed gives the same interval.
        resamples: How many.
        level: Coverage.
        groups: For each task, which queries are drawn together; None draws each by itself.
    """
    _check(parts)
    rng = np.random.default_rng(seed)
    means = np.mean([part.mean(axis=0) for part in parts], axis=0)
    drawn = np.mean(
        [_resampled_means(*one, resamples, rng) for one in _summed(parts, groups)], axis=0
    )
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return tuple(
        Interval(float(mean), float(a), float(b))
        for mean, a, b in zip(means, low, high, strict=True)
    )


def group_means(outcomes: Outcomes, groups: Groups) -> Outcomes:
    """Mean of every group, (g, m): each counts alike, however many queries it has."""
    sums, sizes = _sums(outcomes, groups)
    return np.asarray(sums / sizes[:, None])


def _summed(
    parts: Sequence[Outcomes], groups: Sequence[Groups] | None
) -> list[tuple[Outcomes, NDArray[np.float64]]]:
    """For each part, sums and sizes of what is drawn together."""
    if groups is None:
        return [(part, np.ones(len(part))) for part in parts]
    return [_sums(part, own) for part, own in zip(parts, groups, strict=True)]


def _sums(outcomes: Outcomes, groups: Groups) -> tuple[Outcomes, NDArray[np.float64]]:
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.zeros((len(sizes), outcomes.shape[1]))
    np.add.at(sums, groups, outcomes)
    return sums, sizes


def _check(parts: Sequence[Outcomes]) -> None:
    if not parts or any(len(part) == 0 for part in parts):
        raise BenchError("no queries: nothing to resample")
    if any(np.isnan(part).any() for part in parts):
        raise BenchError("outcomes are NaN: they have no mean")


def _resampled_means(
    sums: Outcomes, sizes: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> Outcomes:
    """(resamples, m) means over units drawn with replacement, in blocks of bounded size."""
    count = len(sums)
    block = max(1, _BLOCK_CELLS // count)
    means = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(count, size=(rows, count), dtype=np.int32)
        drawn = drawn + (np.arange(rows, dtype=np.int64) * count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        means.append(times @ sums / (times @ sizes)[:, None])
    return np.concatenate(means)


def paired_test(
    first: Sequence[Outcomes],
    second: Sequence[Outcomes],
    *,
    seed: int,
    flips: int = FLIPS,
    groups: Sequence[Groups] | None = None,
) -> tuple[PairedTest, ...]:
    """Test whether two runs differ, metric by metric; `groups` as in `bootstrap`."""
    shapes = [[part.shape for part in run] for run in (first, second)]
    if shapes[0] != shapes[1]:
        raise BenchError(f"runs of different shape cannot be paired: {shapes[0]} and {shapes[1]}")
    differences = [b - a for a, b in zip(first, second, strict=True)]
    intervals = bootstrap(differences, seed=seed, groups=groups)
    rng = np.random.default_rng(seed)
    flipped = np.mean(
        [
            _flipped_means(sums, float(sizes.sum()), flips, rng)
            for sums, sizes in _summed(differences, groups)
        ],
        axis=0,
    )
    observed = np.abs([interval.value for interval in intervals])
    # The tolerance keeps flips that tie with the observed value from slipping below it by rounding.
    extreme = (np.abs(flipped) >= observed - 1e-12).sum(axis=0)
    p_values = (extreme + 1) / (flips + 1)
    return tuple(
        PairedTest(interval.value, interval.low, interval.high, float(p))
        for interval, p in zip(intervals, p_values, strict=True)
    )


def _flipped_means(
    differences: Outcomes, count: float, flips: int, rng: np.random.Generator
) -> Outcomes:
    """(flips, m) means under random signs; units without any difference cannot matter."""
    moved = differences[np.any(differences != 0, axis=1)]
    if len(moved) == 0:
        return np.zeros((flips, differences.shape[1]))
    block = max(1, _BLOCK_CELLS // len(moved))
    means = []
    for start in range(0, flips, block):
        rows = min(block, flips - start)
        signs = rng.integers(0, 2, size=(rows, len(moved)), dtype=np.int8).astype(np.float64)
        means.append((2 * signs - 1) @ moved / count)
    return np.concatenate(means)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Correct p-values for being several (Holm 1979); same order, at most 1."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        corrected[index] = min(1.0, largest)
    return tuple(float(p) for p in corrected)
