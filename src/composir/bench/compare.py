"""Puts results side by side: those on the same queries are tested in pairs against the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composir.bench.estimates import Figure, estimated, together
from composir.bench.gap import unanswered
from composir.bench.results import Header, Result, TaskResult
from composir.bench.significance import Groups, Outcomes, PairedTest, holm, paired_test
from composir.errors import BenchError

MEAN = "mean"
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired test, and its p-value after Holm's correction over the whole section."""

    test: PairedTest
    p_corrected: float

    @property
    def found(self) -> bool:
        """Whether the correction leaves it below 0.05."""
        return self.p_corrected < LEVEL


@dataclass(frozen=True, slots=True)
class Cell:
    """One method's figure, and how it differs from the first method's: by query, and by group."""

    figure: Figure
    by_query: Difference | None = None
    by_group: Difference | None = None

    @property
    def mark(self) -> str:
        """`▲` or `▼` where the method differs from the first; `△`, `▽` by single queries alone."""
        if self.by_query is None or not self.by_query.found:
            return ""
        better = self.by_query.test.difference > 0
        if self.by_group is not None and not self.by_group.found:
            return "△" if better else "▽"
        return "▲" if better else "▼"


@dataclass(frozen=True, slots=True)
class ReportScope:
    """A task, its composition gap, or the mean of all tasks; `cells[method][metric]`."""

    name: str
    metrics: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    headline: str
    queries: int


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


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """What a scope is made of: each method's figures, and its outcomes for each task."""

    name: str
    task: TaskResult
    figures: list[dict[str, Figure]]
    parts: list[list[Outcomes]]
    groups: list[Groups] | None
    tested: bool = True

    def tests(self, seed: int, *, grouped: bool) -> list[PairedTest]:
        """For every method but the first, a test of each metric."""
        groups = self.groups if grouped else None
        if not self.tested or (grouped and groups is None):
            return []
        first, others = self.parts[0], self.parts[1:]
        return [
            test for other in others for test in paired_test(first, other, seed=seed, groups=groups)
        ]

    def shown(self, by_query: Iterator[Difference], by_group: Iterator[Difference]) -> ReportScope:
        def cell(figure: Figure, *, tested: bool) -> Cell:
            grouped = tested and self.groups is not None
            return Cell(
                figure, next(by_query) if tested else None, next(by_group) if grouped else None
            )

        metrics = tuple(self.task.metrics)
        cells = tuple(
            tuple(cell(method[name], tested=self.tested and row > 0) for name in metrics)
            for row, method in enumerate(self.figures)
        )
        count = sum(map(len, self.parts[0]))
        return ReportScope(self.name, metrics, cells, self.task.headline, count)

    def part(self, name: str, rows: NDArray[np.bool_], header: Header) -> _Outcomes:
        """The same methods on some queries of a task: told, and not tested."""
        parts = [[own[rows]] for (own,) in self.parts]
        groups = None
        if self.groups is not None:
            groups = [np.unique(self.groups[0][rows], return_inverse=True)[1]]
        made = [
            estimated([own / 100], groups, seed=header.seed, resamples=header.resamples)
            for (own,) in parts
        ]
        figures = [dict(zip(self.task.metrics, one, strict=True)) for one in made]
        return _Outcomes(name, self.task, figures, parts, groups, tested=False)


def _section(results: tuple[Result, ...], seed: int) -> Section:
    scopes = list(_scopes(results))
    by_query = _corrected([test for one in scopes for test in one.tests(seed, grouped=False)])
    by_group = _corrected([test for one in scopes for test in one.tests(seed, grouped=True)])
    rows = iter(by_query), iter(by_group)
    built = tuple(one.shown(*rows) for one in scopes)
    return Section(results, _names(results), built, len(by_query))


def _corrected(tests: Sequence[PairedTest]) -> list[Difference]:
    return [Difference(*pair) for pair in zip(tests, holm([t.p_value for t in tests]), strict=True)]


def _scopes(results: tuple[Result, ...]) -> Iterator[_Outcomes]:
    first = results[0]
    groups = [_groups(results, number) for number in range(len(first.tasks))]
    composers = [result.header.composer for result in results]
    for number, task in enumerate(first.tasks):
        if not task.metrics:
            continue
        tasks = [result.tasks[number] for result in results]
        own = groups[number]
        figures = [one.metrics for one in tasks]
        parts = [[_outcomes(one)] for one in tasks]
        whole = _Outcomes(task.name, task, figures, parts, None if own is None else [own])
        yield whole
        gap = unanswered(composers, tasks)
        if gap is not None:
            yield whole.part(*gap, first.header)
    if first.mean is not None:
        figures = [result.mean or {} for result in results]
        parts = [[_outcomes(task) for task in result.tasks] for result in results]
        grouped = together(groups, [task.queries for task in first.tasks])
        yield _Outcomes(MEAN, first.tasks[0], figures, parts, grouped)


def _groups(results: Sequence[Result], number: int) -> Groups | None:
    """From the first file that names them: all are of the same queries."""
    told = (result.tasks[number] for result in results if result.tasks[number].groups)
    found = next(told, None)
    return None if found is None else found.group_numbers()


def _outcomes(task: TaskResult) -> Outcomes:
    return 100 * task.outcomes(list(task.metrics))


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
