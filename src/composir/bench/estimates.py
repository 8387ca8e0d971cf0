"""Figures in percent with their intervals, over queries and over groups of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from composir.bench.significance import Groups, Interval, Outcomes, bootstrap, group_means


class Record(BaseModel):
    """A part of a result file: frozen, and nothing that it does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GroupFigure(Record):
    """The interval of a figure where whole groups are drawn, and the mean of the groups' means."""

    groups: int
    low: float
    high: float
    macro: float
    macro_low: float
    macro_high: float


class Figure(Record):
    """Percent, with its 95 % bootstrap interval over queries, and over their groups if any."""

    value: float
    low: float
    high: float
    by_group: GroupFigure | None = None


class AspectFigure(Figure):
    """The headline metric over the queries of one aspect."""

    queries: int


def numbered(units: Sequence[str]) -> Groups | None:
    """Numbers of the groups that queries belong to; None where each is in one of its own."""
    names, numbers = np.unique(np.asarray(units, dtype=object), return_inverse=True)
    return None if len(names) == len(units) else np.asarray(numbers, dtype=np.intp)


def together(parts: Sequence[Groups | None], sizes: Sequence[int]) -> list[Groups] | None:
    """Groups of several tasks; None where no task has any."""
    if all(part is None for part in parts):
        return None
    filled = zip(parts, sizes, strict=True)
    return [np.arange(size) if part is None else part for part, size in filled]


def estimated(
    parts: Sequence[Outcomes], groups: Sequence[Groups] | None, *, seed: int, resamples: int
) -> tuple[Figure, ...]:
    """Figures of outcomes between 0 and 1, averaged over parts: one a metric."""
    plain = bootstrap(parts, seed=seed, resamples=resamples)
    if groups is None:
        return tuple(_figure(one, None) for one in plain)
    drawn = bootstrap(parts, seed=seed, resamples=resamples, groups=groups)
    means = [group_means(part, own) for part, own in zip(parts, groups, strict=True)]
    macro = bootstrap(means, seed=seed, resamples=resamples)
    count = sum(map(len, means))
    return tuple(
        _figure(one, _group_figure(count, by_group, mean))
        for one, by_group, mean in zip(plain, drawn, macro, strict=True)
    )


def _group_figure(count: int, drawn: Interval, macro: Interval) -> GroupFigure:
    (_, low, high), (mean, start, end) = _percent(drawn), _percent(macro)
    return GroupFigure(
        groups=count, low=low, high=high, macro=mean, macro_low=start, macro_high=end
    )


def _figure(interval: Interval, by_group: GroupFigure | None) -> Figure:
    value, low, high = _percent(interval)
    return Figure(value=value, low=low, high=high, by_group=by_group)


def _percent(interval: Interval) -> tuple[float, float, float]:
    return 100 * interval.value, 100 * interval.low, 100 * interval.high
