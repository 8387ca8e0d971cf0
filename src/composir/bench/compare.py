"""Puts results side by side: those on the same queries are tested in pairs against the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composir.bench.results import Figure, Result, TaskResult
from composir.bench.significance import PairedTest, holm, paired_test
from composir.errors import BenchError

MEAN = "mean"
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """One method's figure in one column.

    Attributes:
        figure: Percent.
        test: Against the first method; None for the first itself. In points of 100.
        p_corrected: Its p-value after Holm's correction over the whole section.
    """

    figure: Figure
    test: PairedTest | None = None
    p_corrected: float | None = None

    @property
    def mark(self) -> str:
        """`▲` or `▼` where the method differs from the first one, p < 0.05 after correction."""
        if self.test is None or self.p_corrected is None or self.p_corrected >= LEVEL:
            return ""
        return "▲" if self.test.difference > 0 else "▼"


@dataclass(frozen=True, slots=True)
class ReportScope:
    """A task, or the mean of all; `cells[method][metric]`."""

    name: str
    metrics: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """All results on one data set's queries.

    Attributes:
        results: In the order given; the first is what the others are tested against.
        methods: Their names in tables.
        scopes: Tasks, then their mean if there are several.
        tests: How many tests the correction is over.
    """

    results: tuple[Result, ...]
    methods: tuple[str, ...]
    scopes: tuple[ReportScope, ...]
    tests: int

    @property
    def title(self) -> str:
        """Data set and split."""
        header = self.results[0].header
        return f"{header.dataset}, {header.split}"


def sections(results: Sequence[Result], *, seed: int = 0) -> tuple[Section, ...]:
    """Group results by their queries and test each group."""
    groups: dict[object, list[Result]] = {}
    for result in results:
        groups.setdefault(_identity(result), []).append(result)
    return tuple(_section(tuple(group), seed) for group in groups.values())


def _identity(result: Result) -> object:
    return tuple(
        (task.name, task.split, task.variant, task.checksum, task.query_ids, task.gallery)
        for task in result.tasks
    )


def compared(results: Sequence[Result], names: Sequence[str], *, seed: int = 0) -> Section:
    """Compare results that must be on the same queries."""
    if len(results) < 2:
        raise BenchError("a comparison needs at least two result files")
    for result, name in zip(results[1:], names[1:], strict=True):
        difference = _difference(results[0], result)
        if difference:
            raise BenchError(f"{names[0]} and {name} cannot be compared: {difference}")
    return _section(tuple(results), seed)


def _difference(first: Result, other: Result) -> str | None:
    if len(first.tasks) != len(other.tasks):
        return f"{len(first.tasks)} tasks and {len(other.tasks)}"
    for one, two in zip(first.tasks, other.tasks, strict=True):
        for part in ("name", "split", "variant", "checksum", "gallery", "query_ids"):
            a, b = getattr(one, part), getattr(two, part)
            if a != b:
                told = "" if part == "query_ids" else f" ({a!r} and {b!r})"
                return f"they differ in {part.replace('_', ' ')}{told}"
    return None


def _section(results: tuple[Result, ...], seed: int) -> Section:
    first = results[0]
    metrics = tuple(first.tasks[0].metrics)
    scopes = []
    for number, task in enumerate(first.tasks):
        figures = [result.tasks[number].metrics for result in results]
        parts = [[_outcomes(result.tasks[number])] for result in results]
        scopes.append((task.name, tuple(task.metrics), figures, parts))
    if first.mean is not None:
        figures = [result.mean or {} for result in results]
        parts = [[_outcomes(task) for task in result.tasks] for result in results]
        scopes.append((MEAN, metrics, figures, parts))
    tests = [_tests(parts, seed) for _, names, _, parts in scopes if names]
    count = sum(len(row) for scope in tests for row in scope)
    corrected = iter(holm([t.p_value for scope in tests for row in scope for t in row]))
    tested = iter(tests)
    built = tuple(
        ReportScope(name, names, _cells(names, figures, next(tested), corrected))
        for name, names, figures, _ in scopes
        if names
    )
    return Section(results, _names(results), built, count)


def _outcomes(task: TaskResult) -> NDArray[np.float64]:
    return 100 * task.outcomes(list(task.metrics)) if task.metrics else np.empty((0, 0))


def _tests(parts: Sequence[Sequence[NDArray[np.float64]]], seed: int) -> list[list[PairedTest]]:
    """For every method but the first, a test of each metric."""
    return [list(paired_test(parts[0], other, seed=seed)) for other in parts[1:]]


def _cells(
    metrics: Sequence[str],
    figures: Sequence[dict[str, Figure]],
    tests: Sequence[Sequence[PairedTest]],
    corrected: Iterator[float],
) -> tuple[tuple[Cell, ...], ...]:
    rows = [tuple(Cell(figures[0][name]) for name in metrics)]
    for method, row in zip(figures[1:], tests, strict=True):
        cells = zip(metrics, row, strict=True)
        rows.append(tuple(Cell(method[name], test, next(corrected)) for name, test in cells))
    return tuple(rows)


def _names(results: Sequence[Result]) -> tuple[str, ...]:
    """Composer and settings; the model too where several occur, and what else tells them apart."""
    models = {result.header.model and result.header.model.fingerprint for result in results}
    names = []
    for result in results:
        model = result.header.model
        prefix = f"{model.name} · " if len(models) > 1 and model else ""
        names.append(prefix + result.header.method)
    made = [result.header.composer_fingerprint for result in results]
    composers: dict[str, set[str | None]] = {}
    for name, fingerprint in zip(names, made, strict=True):
        composers.setdefault(name, set()).add(fingerprint)
    return tuple(
        f"{name} [{fingerprint[:8]}]" if fingerprint and len(composers[name]) > 1 else name
        for name, fingerprint in zip(names, made, strict=True)
    )
