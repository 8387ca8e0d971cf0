"""CSV for spreadsheets and Markdown for documents."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

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
from composir.bench.results import Result
from composir.data.outputs import OutputKind

_COLUMNS = (
    *("dataset", "split", "variant", "checksum", "scope", "metric", "value", "low", "high"),
    *("against", "difference", "p", "p_corrected", "queries", "gallery", "notices"),
    *("model", "fingerprint", "composer", "settings", "seed", "date"),
    *("composer_fingerprint", "groups", "group_low", "group_high"),
    *("macro", "macro_low", "macro_high", "group_p", "group_p_corrected"),
)
TABLE = OutputKind("a table", (".csv",), (",".join(_COLUMNS[:6]).encode(),))


def to_csv(sections: Sequence[Section]) -> str:
    """One line a figure, in percent and unrounded, with its provenance."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for section in sections:
        writer.writerows(_csv_rows(section))
    return buffer.getvalue()


def _csv_rows(section: Section) -> Iterator[list[object]]:
    for scope in section.scopes:
        for result, cells in zip(section.results, scope.cells, strict=True):
            for metric, cell in zip(scope.metrics, cells, strict=True):
                header, figure = result.header, cell.figure
                start = [header.dataset, header.split, header.variant, header.checksum]
                start += [scope.name, metric]
                numbers = [figure.value, figure.low, figure.high, *_tested(section, cell)]
                told = _provenance(result, scope)
                yield [*start, *numbers, *told, *_grouped(cell)]


def _tested(section: Section, cell: Cell) -> list[object]:
    if cell.by_query is None:
        return [""] * 4
    test = cell.by_query.test
    return [section.methods[0], test.difference, test.p_value, cell.by_query.p_corrected]


def _grouped(cell: Cell) -> list[object]:
    group, found = cell.figure.by_group, cell.by_group
    figures = [""] * 6 if group is None else list(group.model_dump().values())
    return [*figures, *([""] * 2 if found is None else [found.test.p_value, found.p_corrected])]


def _provenance(result: Result, scope: ReportScope) -> list[object]:
    header, model = result.header, result.header.model
    counted = [task for task in result.tasks if task.name == scope.name] or list(result.tasks)
    settings = "; ".join(f"{key}={value}" for key, value in header.settings.items())
    return [
        scope.queries,
        sum(task.gallery for task in counted),
        "; ".join(result.notices),
        *((model.name, model.fingerprint) if model else ("", "")),
        *(header.composer, settings, header.seed, header.date),
        header.composer_fingerprint or "",
    ]


def to_markdown(section: Section) -> str:
    """A section's tables of figures, without a heading."""
    header = section.results[0].header
    task = section.results[0].tasks[0]
    lines = [f"{header.variant}; {task.queries:,} queries, {task.gallery:,} images.", ""]
    for notice in section.results[0].notices:
        lines += [f"**{notice}**", ""]
    for scope in section.scopes:
        lines += [f"*{scope.name}*", ""] if len(section.scopes) > 1 else []
        lines += [*_markdown_scope(section, scope), ""]
    lines += [legend(section)]
    return "\n".join(lines) + "\n"


def costs_markdown(section: Section) -> str:
    """What each method costs, as a table."""
    lines = [*_row("cost", *EFFICIENCY_COLUMNS), _rule(len(EFFICIENCY_COLUMNS))]
    lines += [line for row in cost_rows(section) for line in _row(*row)]
    return "\n".join(lines) + "\n"


def _markdown_scope(section: Section, scope: ReportScope) -> Iterator[str]:
    shown = columns(scope)
    yield from _row("composer", *shown)
    yield _rule(len(shown))
    for method, cells in zip(section.methods, scope.cells, strict=True):
        figures = [(value(cell), interval(cell.figure)) for cell in cells]
        figures += macro(scope, cells)
        yield from _row(method, *(f"{told} ({span})" for told, span in figures))


def _row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"]


def _rule(columns: int) -> str:
    return "|---|" + "---:|" * columns
