"""How figures are written, everywhere alike."""

from __future__ import annotations

from collections.abc import Iterator

from composir.bench.compare import Cell, ReportScope, Section
from composir.bench.efficiency import WHOLE_QUERY, Efficiency
from composir.bench.estimates import Figure
from composir.bench.metrics import metric_label

UNKNOWN = "–"
EFFICIENCY_COLUMNS = (
    "query parameters",
    "query FLOPs",
    "query model size",
    "ms a query",
    "travels",
    "gallery ms an image",
)


def interval(figure: Figure) -> str:
    """The 95 % interval over queries, then over their groups if any: `47.2–50.8; 44.0–54.1`."""
    told = _span(figure.low, figure.high)
    group = figure.by_group
    return told if group is None else f"{told}; {_span(group.low, group.high)}"


def _span(low: float, high: float) -> str:
    return f"{low:.1f}–{high:.1f}"


def columns(scope: ReportScope) -> tuple[str, ...]:
    """Metrics as papers print them; last the mean over groups, if there are any."""
    macro = (f"macro {metric_label(scope.headline)}",) if _has_groups(scope) else ()
    return (*map(metric_label, scope.metrics), *macro)


def macro(scope: ReportScope, cells: tuple[Cell, ...]) -> tuple[tuple[str, str], ...]:
    """Mean over groups of the headline metric and its interval; empty without groups."""
    if not _has_groups(scope):
        return ()
    group = cells[scope.metrics.index(scope.headline)].figure.by_group
    told = group and (f"{group.macro:.1f}", _span(group.macro_low, group.macro_high))
    return (told or (UNKNOWN, ""),)


def _has_groups(scope: ReportScope) -> bool:
    return scope.headline in scope.metrics and _groups_of(scope) > 0


def value(cell: Cell) -> str:
    """Percent and the mark: `49.0 ▲`."""
    return f"{cell.figure.value:.1f}{' ' + cell.mark if cell.mark else ''}"


def cost_rows(section: Section) -> Iterator[tuple[str, ...]]:
    """Each method, and one text a column of `EFFICIENCY_COLUMNS`."""
    for method, result in zip(section.methods, section.results, strict=True):
        yield method, *efficiency_row(result.efficiency)


def efficiency_row(costs: Efficiency) -> tuple[str, ...]:
    """One text a column of `EFFICIENCY_COLUMNS`."""
    return (
        _counted(costs.query_parameters, ""),
        _counted(costs.query_flops, ""),
        _counted(costs.query_bytes, "B"),
        _milliseconds(costs),
        _counted(costs.travel_bytes, "B"),
        UNKNOWN if costs.gallery_ms is None else f"{costs.gallery_ms:.1f}",
    )


def _milliseconds(costs: Efficiency) -> str:
    if costs.query_ms is None:
        return UNKNOWN
    part = "" if costs.query_covers == WHOLE_QUERY else f" ({costs.query_covers})"
    return f"{costs.query_ms:.1f}{part}"


def _counted(number: int | None, unit: str) -> str:
    if number is None:
        return UNKNOWN
    size, prefix = float(number), ""
    for prefix in ("", "k", "M", "G", "T"):
        if size < 1000 or prefix == "T":
            break
        size /= 1000
    shown = f"{size:.0f}" if not prefix else f"{size:.1f}"
    return f"{shown} {prefix}{unit}".strip()


def legend(section: Section) -> str:
    """What intervals and marks mean."""
    told = "Percent, with 95 % bootstrap intervals over queries"
    counts = {_groups_of(scope) for scope in section.scopes} - {0}
    told += f", then over their {max(counts):,} groups, and the mean of groups." if counts else "."
    if section.tests:
        told += (
            f" ▲ better and ▼ worse than {section.methods[0]}: p < 0.05 in a paired sign-flip "
            f"permutation test, corrected by Holm for {section.tests} tests"
        )
        told += ", by query and by group; △ and ▽: by query alone." if counts else "."
    return told


def _groups_of(scope: ReportScope) -> int:
    group = scope.cells[0][0].figure.by_group
    return 0 if group is None else group.groups
