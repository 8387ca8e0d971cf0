"""Charts as inline SVG: recall over k, and bars per aspect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from composir.bench.metrics import recall
from composir.bench.results import AspectFigure, Result

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 14, 40
_TICKS = (1, 2, 5, 10, 20, 50, 100)
_STEPS = (2, 5, 10, 20)
_MOST_ASPECTS = 10


def recall_curve(results: Sequence[Result], methods: Sequence[str]) -> str:
    """Recall over k for every method, averaged over tasks; k on a logarithmic axis.

    Args:
        results: One a method, on the same queries.
        methods: Their names.

    Returns:
        An SVG element, or an empty string where nothing can be drawn.
    """
    deepest = _deepest(results[0])
    if deepest < 2:
        return ""
    depths = sorted({round(deepest**step) for step in np.linspace(0, 1, 60).tolist()})
    curves = [[_mean_recall(result, k) for k in depths] for result in results]
    top = max(10.0, 10 * math.ceil(max(max(curve) for curve in curves) / 10))
    parts = [_axes(deepest, top)]
    for number, (method, curve) in enumerate(zip(methods, curves, strict=True)):
        points = " ".join(
            f"{_x(k, deepest):.1f},{_y(value, top):.1f}"
            for k, value in zip(depths, curve, strict=True)
        )
        parts.append(
            f'<polyline class="line s{number}" points="{points}">'
            f"<title>{escape(method)}</title></polyline>"
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Recall over k">'
        f"{''.join(parts)}</svg>{series_legend(methods)}"
    )


def series_legend(methods: Sequence[str]) -> str:
    """Which colour is which method."""
    items = (
        f'<li><span class="swatch b{number}"></span>{escape(method)}</li>'
        for number, method in enumerate(methods)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


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


def _x(k: float, deepest: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(k) / math.log(deepest)


def _y(value: float, top: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / top)


def _axes(deepest: int, top: float) -> str:
    step = next(s for s in _STEPS if top / s <= 6)
    parts = []
    for value in range(0, round(top) + 1, step):
        y = _y(value, top)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        )
    for k in (*(tick for tick in _TICKS if tick < deepest * 0.8), deepest):
        x = _x(k, deepest)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{k}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="tick" x="{middle:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"k (first hits looked at); recall in percent</text>"
    )
    return "".join(parts)


def aspect_bars(aspects: Sequence[dict[str, AspectFigure]], methods: Sequence[str]) -> str:
    """Bars of the headline metric per aspect, with intervals.

    Args:
        aspects: One mapping a method.
        methods: Their names.

    Returns:
        An SVG element with its legend, of the ten aspects with most queries; an empty string where
        there are none.
    """
    if not aspects or not aspects[0]:
        return ""
    names = sorted(aspects[0], key=lambda name: -aspects[0][name].queries)[:_MOST_ASPECTS]
    top = max(method[name].high for method in aspects for name in names) or 1.0
    bar, gap, left = (14, 16, 230) if len(methods) < 4 else (11, 12, 230)
    row = bar * len(methods) + gap
    parts = []
    for place, name in enumerate(names):
        y = place * row + gap / 2
        label = f"{name.replace('_', ' ')} ({aspects[0][name].queries:,})"
        parts.append(
            f'<text class="tick" x="{left - 10}" y="{y + bar * len(methods) / 2 + 4:.1f}" '
            f'text-anchor="end">{escape(label)}</text>'
        )
        for number, method in enumerate(aspects):
            parts.append(_bar(method[name], number, y + number * bar, bar, left, top))
    height = len(names) * row
    left_out = len(aspects[0]) - len(names)
    told = (
        f'<p class="note">{left_out} smaller ones are in the result files.</p>' if left_out else ""
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Per aspect">'
        f"{''.join(parts)}</svg>{series_legend(methods)}{told}"
    )


def _bar(figure: AspectFigure, number: int, y: float, height: int, left: int, top: float) -> str:
    scale = (_WIDTH - left - 60) / top
    middle = y + (height - 3) / 2
    return (
        f'<rect class="f{number}" x="{left}" y="{y:.1f}" '
        f'width="{figure.value * scale:.1f}" height="{height - 3}" rx="2"/>'
        f'<line class="whisker" x1="{left + figure.low * scale:.1f}" y1="{middle:.1f}" '
        f'x2="{left + figure.high * scale:.1f}" y2="{middle:.1f}"/>'
        f'<text class="tick" x="{left + figure.high * scale + 6:.1f}" y="{middle + 4:.1f}">'
        f"{figure.value:.1f}</text>"
    )
