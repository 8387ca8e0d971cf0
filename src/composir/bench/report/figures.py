"""How figures are written, everywhere alike."""

from __future__ import annotations

from composir.bench.compare import Cell
from composir.bench.efficiency import WHOLE_QUERY, Efficiency
from composir.bench.results import Figure

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
    """The 95 % interval, in percent: `47.2-50.8`."""
    return f"{figure.low:.1f}–{figure.high:.1f}"


def value(cell: Cell) -> str:
    """Percent and the mark: `49.0 ▲`."""
    return f"{cell.figure.value:.1f}{' ' + cell.mark if cell.mark else ''}"


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


def legend(tests: int, baseline: str) -> str:
    """What intervals and marks mean."""
    told = "Percent, with 95 % bootstrap intervals over queries."
    if tests:
        told += (
            f" ▲ better and ▼ worse than {baseline}: p < 0.05 in a paired sign-flip permutation "
            f"test, corrected by Holm for {tests} tests."
        )
    return told
