"""Where the lines and bars of charts lie; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from composir.bench.estimates import AspectFigure
from composir.bench.metrics import recall
from composir.bench.results import Result

_TICKS = (1, 2, 5, 10, 20, 50, 100)
_STEPS = (2, 5, 10, 20)
_MOST_ASPECTS = 10
_LABELS_WIDTH = 230


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing's size and the margins around what it plots, pixels."""

    width: int = 640
    height: int = 320
    left: int = 46
    right: int = 18
    top: int = 14
    bottom: int = 40


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall over k.

    Attributes:
        frame: Of the drawing.
        rows: Height and label of each line of the grid.
        columns: The same across.
        lines: One a method: its points, as SVG's `polyline` wants them.
    """

    frame: Frame
    rows: tuple[tuple[float, int], ...]
    columns: tuple[tuple[float, int], ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One method's figure on one aspect: places in pixels, and the value to write."""

    y: float
    width: float
    low: float
    high: float
    value: float


@dataclass(frozen=True, slots=True)
class Bars:
    """A metric per aspect.

    Attributes:
        frame: Of the drawing.
        thickness: Of a bar, pixels.
        rows: Label, height of the label, and a bar a method.
        left_out: How many smaller aspects are not drawn.
    """

    frame: Frame
    thickness: int
    rows: tuple[tuple[str, float, tuple[Bar, ...]], ...]
    left_out: int


def recall_curve(results: Sequence[Result]) -> Curve | None:
    """Recall over k for every method, averaged over tasks; k on a logarithmic axis.

    Returns:
        The curve; None where nothing can be drawn.
    """
    deepest = _deepest(results[0])
    if deepest < 2:
        return None
    frame = Frame()
    depths = sorted({round(deepest**step) for step in np.linspace(0, 1, 60).tolist()})
    curves = [[_mean_recall(result, k) for k in depths] for result in results]
    top = max(10.0, 10 * math.ceil(max(max(curve) for curve in curves) / 10))
    step = next(s for s in _STEPS if top / s <= 6)
    across = (frame.width - frame.left - frame.right) / math.log(deepest)
    down = (frame.height - frame.top - frame.bottom) / top
    ks = (*(tick for tick in _TICKS if tick < deepest * 0.8), deepest)

    def x(k: int) -> float:
        return frame.left + across * math.log(k)

    def y(value: float) -> float:
        return frame.top + down * (top - value)

    return Curve(
        frame,
        rows=tuple((y(value), value) for value in range(0, round(top) + 1, step)),
        columns=tuple((x(k), k) for k in ks),
        lines=tuple(
            " ".join(f"{x(k):.1f},{y(v):.1f}" for k, v in zip(depths, curve, strict=True))
            for curve in curves
        ),
    )


def _deepest(result: Result) -> int:
    """How deep curves go: 100, or the size of what is ranked."""
    task = result.tasks[0]
    if not task.metrics:
        return 0
    if all(name.startswith("recall_subset") for name in task.metrics):
        return max(int(name.partition("@")[2]) for name in task.metrics) * 3
    return min(100, task.gallery)


def _mean_recall(result: Result, k: int) -> float:
    recalls = []
    for task in result.tasks:
        rankings = task.rankings()
        ranks = rankings.ranks if rankings.primary is None else rankings.primary
        if ranks.shape[1] == 0 and rankings.subset is not None:
            ranks = rankings.subset
        recalls.append(recall(ranks, k).mean())
    return 100 * float(np.mean(recalls))


def aspect_bars(aspects: Sequence[dict[str, AspectFigure]]) -> Bars | None:
    """Bars of the headline metric per aspect, with intervals.

    Returns:
        The ten aspects with most queries; None where there are none.
    """
    if not aspects or not aspects[0]:
        return None
    names = sorted(aspects[0], key=lambda name: -aspects[0][name].queries)[:_MOST_ASPECTS]
    bar, gap = (14, 16) if len(aspects) < 4 else (11, 12)
    row = bar * len(aspects) + gap
    frame = Frame(height=row * len(names), left=_LABELS_WIDTH, right=60)
    top = max(method[name].high for method in aspects for name in names) or 1.0
    scale = (frame.width - frame.left - frame.right) / top
    rows = []
    for place, name in enumerate(names):
        start = place * row + gap / 2
        bars = tuple(
            _bar(method[name], start + number * bar, frame.left, scale)
            for number, method in enumerate(aspects)
        )
        label = f"{name.replace('_', ' ')} ({aspects[0][name].queries:,})"
        rows.append((label, start + bar * len(aspects) / 2 + 4, bars))
    return Bars(frame, bar - 3, tuple(rows), len(aspects[0]) - len(names))


def _bar(figure: AspectFigure, y: float, left: int, scale: float) -> Bar:
    return Bar(
        y,
        figure.value * scale,
        left + figure.low * scale,
        left + figure.high * scale,
        figure.value,
    )
