"""CSV for spreadsheets and Markdown for documents."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from composir.bench.compare import ReportScope, Section
from composir.bench.metrics import metric_label
from composir.bench.report.figures import (
    EFFICIENCY_COLUMNS,
    efficiency_row,
    interval,
    legend,
    value,
)
from composir.bench.results import Result
from composir.data.outputs import OutputKind

_COLUMNS = (
    *("dataset", "split", "variant", "checksum", "scope", "metric", "value", "low", "high"),
    *("against", "difference", "p", "p_corrected", "queries", "gallery", "notices"),
    *("model", "fingerprint", "composer", "settings", "seed", "date"),
    "composer_fingerprint",
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
                figure, test = cell.figure, cell.test
                against = [section.methods[0], test.difference, test.p_value] if test else [""] * 3
                header = result.header
                start = [header.dataset, header.split, header.variant, header.checksum]
                numbers = [figure.value, figure.low, figure.high, *against, cell.p_corrected]
                yield [*start, scope.name, metric, *numbers, *_provenance(result, scope)]


def _provenance(result: Result, scope: ReportScope) -> list[object]:
    header, model = result.header, result.header.model
    counted = [task for task in result.tasks if task.name == scope.name] or list(result.tasks)
    settings = "; ".join(f"{key}={value}" for key, value in header.settings.items())
    return [
        sum(task.queries for task in counted),
        sum(task.gallery for task in counted),
        "; ".join(result.notices),
        *((model.name, model.fingerprint) if model else ("", "")),
        *(header.composer, settings, header.seed, header.date),
        header.composer_fingerprint or "",
    ]


def to_markdown(section: Section) -> str:
    """A section's tables, without a heading."""
    header = section.results[0].header
    task = section.results[0].tasks[0]
    lines = [f"{header.variant}; {task.queries:,} queries, {task.gallery:,} images.", ""]
    for notice in section.results[0].notices:
        lines += [f"**{notice}**", ""]
    for scope in section.scopes:
        lines += [f"*{scope.name}*", ""] if len(section.scopes) > 1 else []
        lines += [*_markdown_scope(section, scope), ""]
    lines += [legend(section.tests, section.methods[0]), ""]
    lines += [*_row("cost", *EFFICIENCY_COLUMNS), _rule(len(EFFICIENCY_COLUMNS))]
    for method, result in zip(section.methods, section.results, strict=True):
        lines += _row(method, *efficiency_row(result.efficiency))
    return "\n".join(lines) + "\n"


def _markdown_scope(section: Section, scope: ReportScope) -> Iterator[str]:
    yield from _row("composer", *map(metric_label, scope.metrics))
    yield _rule(len(scope.metrics))
    for method, cells in zip(section.methods, scope.cells, strict=True):
        yield from _row(method, *(f"{value(cell)} ({interval(cell.figure)})" for cell in cells))


def _row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"]


def _rule(columns: int) -> str:
    return "|---|" + "---:|" * columns
