"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from composir.bench.compare import Cell, ReportScope, Section
from composir.bench.report.figures import (
    EFFICIENCY_COLUMNS,
    columns,
    cost_rows,
    interval,
    legend,
    macro,
    value,
)
from composir.names import printable

_COLOURS = {"▲": "green", "▼": "red"}
_PLAIN_WIDTH = 150


def print_sections(sections: Sequence[Section], console: Console | None = None) -> None:
    """Print every data set's tables.

    Args:
        sections: From `compare`.
        console: Where to; stdout if None.
    """
    shown = console or Console()
    if not shown.is_terminal:
        shown.width = max(shown.width, _PLAIN_WIDTH)
    for section in sections:
        _print_section(section, shown)


def _print_section(section: Section, console: Console) -> None:
    header = section.results[0].header
    task = section.results[0].tasks[0]
    console.print()
    console.print(_text(section.title, "bold"))
    console.print(_text(f"{header.variant}; {task.queries:,} queries, {task.gallery:,} images"))
    for notice in section.results[0].notices:
        console.print(_text(f"! {notice}", "bold yellow"))
    for scope in section.scopes:
        console.print(_table(section, scope))
    console.print(_costs(section))
    console.print(_text(legend(section), "dim"))


def _table(section: Section, scope: ReportScope) -> Table:
    title = _text(scope.name) if len(section.scopes) > 1 else None
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("composer", overflow="fold")
    for column in columns(scope):
        table.add_column(_text(column), justify="right", no_wrap=True)
    for method, cells in zip(section.methods, scope.cells, strict=True):
        means = (_above(told, span) for told, span in macro(scope, cells))
        table.add_row(_text(method), *map(_cell, cells), *means)
    return table


def _cell(cell: Cell) -> Text:
    return _above(
        value(cell), interval(cell.figure).replace("; ", "\n"), _COLOURS.get(cell.mark, "")
    )


def _above(told: str, below: str, style: str = "") -> Text:
    return _text(told, style).append(f"\n{below}", style="dim")


def _costs(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("cost", overflow="fold")
    for column in EFFICIENCY_COLUMNS:
        table.add_column(column, justify="right")
    for row in cost_rows(section):
        table.add_row(*map(_text, row))
    return table


def _text(told: str, style: str = "") -> Text:
    """Names and notices come from data sets and result files: neither markup nor escapes."""
    return Text(printable(told), style=style)
