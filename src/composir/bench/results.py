"""A run's result file: figures, every query's outcome, and a header that reproduces both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    NonNegativeInt,
    model_validator,
)

from composir.bench.efficiency import Efficiency
from composir.bench.estimates import AspectFigure, Figure, Record, estimated, numbered, together
from composir.bench.metrics import parse_metric
from composir.bench.packed import Packed
from composir.bench.protocol import Rankings, outcomes
from composir.bench.significance import Groups
from composir.bench.task import BenchTask
from composir.data.outputs import OutputKind, write_file
from composir.data.schema import read_model
from composir.errors import BenchError
from composir.limits import LARGEST_SEED, MOST_RESAMPLES

RESULT = OutputKind("a result file", (".json",), (rb'\{\s*"format": ?"composir-bench-result"',))
HITS = 10
"""How many hits of each query a result file keeps."""

# No benchmark's query has negative texts; the header keeps the setting all the same.
_WITHOUT_EFFECT = {"negative_weight"}


class Partial(Record):
    """What was left out because images were missing; the score is not the data set's."""

    missing_images: int
    dropped_queries: int
    of_queries: int


class Setup(Record):
    """Everything needed to run it again.

    Attributes:
        dataset: Name in the table of data sets, or the folder's path.
        root: Folder of annotations and images.
        split: Which split.
        variant: Which protocol variant; None for the only one.
        text_proxy: Whether captions stood in for images.
        vectors: File of precomputed image vectors.
        query_vectors: File of precomputed query vectors.
        model: As given to `load_model`; None for precomputed query vectors.
        composer: Its name, or the folder of a trained one.
        settings: Given to it.
        allow_missing: Whether missing images were allowed.
        seed: Of intervals and tests.
        resamples: Of intervals.
        read_negation: Whether "without X" in texts counted as a negative, as in searches.
    """

    dataset: str
    root: str
    split: str | None = None
    variant: str | None = None
    text_proxy: bool = False
    vectors: str | None = None
    query_vectors: str | None = None
    model: str | None = None
    composer: str
    settings: dict[str, float | int | str] = Field(default_factory=dict)
    allow_missing: bool = False
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    resamples: int = Field(default=1000, ge=1, le=MOST_RESAMPLES)
    read_negation: bool = False


class ModelInfo(Record):
    """Which bundle made the vectors, and how it takes pictures."""

    name: str
    fingerprint: str
    preprocess: dict[str, object] = Field(default_factory=dict)


class Tuning(Record):
    """Where settings were chosen: never on the queries of the result."""

    dataset: str
    split: str
    checksum: str
    metric: str
    queries: int
    tried: int


class Header(Record):
    """What a figure is worth nothing without."""

    dataset: str
    split: str
    variant: str
    checksum: str
    model: ModelInfo | None
    composer: str
    settings: dict[str, float | int | str]
    image_vectors: str
    seed: int
    resamples: int
    date: str
    python: str
    packages: dict[str, str]
    setup: Setup
    tuning: Tuning | None = None
    composer_fingerprint: str | None = None

    @property
    def method(self) -> str:
        """Composer and settings, for tables."""
        used = {key: value for key, value in self.settings.items() if key not in _WITHOUT_EFFECT}
        told = ", ".join(f"{key} {_short(value)}" for key, value in used.items())
        return f"{self.composer} ({told})" if told else self.composer


def _short(value: float | int | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class TaskResult(Record):
    """One task's figures and outcomes.

    `ranks`, `primary` and `subset` hold each query's ranks (see `protocol.Rankings`), from which
    every figure can be computed again; `hits` holds places in `hit_ids`, counted from 1. `groups`
    names what each query is drawn with (`BenchQuery.unit`); files of older versions say nothing.
    """

    name: str
    split: str
    variant: str
    checksum: str
    headline: str
    notices: tuple[str, ...]
    partial: Partial | None
    queries: NonNegativeInt
    gallery: NonNegativeInt
    metrics: dict[str, Figure]
    aspects: dict[str, AspectFigure]
    query_ids: tuple[str, ...]
    groups: tuple[str, ...] = ()
    ranks: Packed
    primary: Packed | None
    subset: Packed | None
    hit_ids: tuple[str, ...]
    hits: Packed

    @model_validator(mode="after")
    def _agree(self) -> Self:
        tables = (self.ranks, self.primary, self.subset, self.hits)
        rows = {len(self.query_ids), *(table.shape[0] for table in tables if table)}
        rows |= {len(self.groups)} if self.groups else set()
        if rows != {self.queries}:
            raise ValueError(f"outcomes of {_listed(rows)} queries, where there are {self.queries}")
        for metric in (*self.metrics, *([self.headline] * bool(self.metrics))):
            _check_metric(metric, self)
        return self

    def rankings(self) -> Rankings:
        """The ranks, unpacked; lists of hits are left out."""
        empty = np.empty((self.queries, 0), dtype=np.int64)
        return Rankings(
            ranks=self.ranks.array(),
            primary=self.primary.array() if self.primary else None,
            subset=self.subset.array() if self.subset else None,
            top=empty,
            top_subset=None,
        )

    def outcomes(self, metrics: Sequence[str]) -> NDArray[np.float64]:
        """Every query's score, (n, m) float64, 0 to 1."""
        return outcomes(self.rankings(), metrics)

    def group_numbers(self) -> Groups | None:
        """(n,) number of each query's group; None where none has others in its own."""
        return numbered(self.groups) if self.groups else None

    def first_hits(self) -> list[list[str]]:
        """Ids of each query's first hits, best first."""
        places = self.hits.array(absent=0)
        if places.max(initial=0) > len(self.hit_ids):
            raise BenchError("the hits of a result file are damaged: some are of no known image")
        return [[self.hit_ids[p - 1] for p in row if p > 0] for row in places.tolist()]


def _listed(numbers: set[int]) -> str:
    return ", ".join(f"{number:,}" for number in sorted(numbers))


def _check_metric(name: str, task: TaskResult) -> None:
    """Refuse a metric whose outcomes a task does not hold."""
    try:
        kind, _ = parse_metric(name)
    except BenchError as error:
        raise ValueError(str(error)) from error
    if kind == "recall_subset" and task.subset is None:
        raise ValueError(f"{name} without the ranks among subsets")


class Result(Record):
    """A result file."""

    format: Literal["composir-bench-result"] = "composir-bench-result"
    version: Literal[1] = 1
    header: Header
    tasks: tuple[TaskResult, ...] = Field(min_length=1)
    mean: dict[str, Figure] | None = None
    efficiency: Efficiency = Efficiency()

    @property
    def notices(self) -> tuple[str, ...]:
        """What has to be said wherever the figures are shown."""
        said = [notice for task in self.tasks for notice in task.notices]
        said += [_partial_notice(task) for task in self.tasks if task.partial]
        if self.header.setup.read_negation:
            said.append("negations in texts were read as searches do (--read-negation)")
        return tuple(dict.fromkeys(said))

    def save(self, path: Path) -> None:
        """Write the file, and the folder that it lies in."""
        write_file(path, self.model_dump_json(indent=1) + "\n", RESULT)


def _partial_notice(task: TaskResult) -> str:
    left = task.partial
    assert left is not None
    return (
        f"PARTIAL score of {task.name}: {left.missing_images:,} images missing, "
        f"{left.dropped_queries:,} of {left.of_queries:,} queries dropped"
    )


def load_result(path: Path) -> Result:
    """Read a result file."""
    return read_model(path, Result, BenchError, "a result file of version 1")


def task_result(
    task: BenchTask, rankings: Rankings, partial: Partial | None, *, seed: int, resamples: int
) -> TaskResult:
    """Turn a task's rankings into figures."""
    metrics = () if task.hidden_truth else task.metrics
    scores = outcomes(rankings, metrics) if metrics else np.empty((len(task.queries), 0))
    units = tuple(query.unit for query in task.queries)
    own = numbered(units)
    groups = None if own is None else [own]
    figures = estimated([scores], groups, seed=seed, resamples=resamples)
    used, hits = np.unique(rankings.top[:, :HITS], return_inverse=True)
    hits = hits.reshape(len(task.queries), -1) + (1 if used[0] >= 0 else 0)
    return TaskResult(
        name=task.name,
        split=task.split,
        variant=task.variant,
        checksum=task.checksum,
        headline=task.headline,
        notices=task.notices,
        partial=partial,
        queries=len(task.queries),
        gallery=len(task.gallery),
        metrics=dict(zip(metrics, figures, strict=True)),
        aspects={} if task.hidden_truth else _aspects(task, rankings, seed, resamples),
        query_ids=tuple(query.id for query in task.queries),
        groups=units,
        ranks=Packed.of(rankings.ranks),
        primary=None if rankings.primary is None else Packed.of(rankings.primary),
        subset=None if rankings.subset is None else Packed.of(rankings.subset),
        hit_ids=tuple(task.gallery[column] for column in used if column >= 0),
        hits=Packed.of(hits),
    )


def _aspects(
    task: BenchTask, rankings: Rankings, seed: int, resamples: int
) -> dict[str, AspectFigure]:
    scores = outcomes(rankings, [task.headline])
    units = np.array([query.unit for query in task.queries], dtype=object)
    figures = {}
    for aspect in task.aspects:
        chosen = np.array([aspect in query.aspects for query in task.queries])
        own = numbered(units[chosen].tolist())
        groups = None if own is None else [own]
        figure = estimated([scores[chosen]], groups, seed=seed, resamples=resamples)[0]
        figures[aspect] = AspectFigure(**figure.model_dump(), queries=int(chosen.sum()))
    return figures


def mean_figures(
    tasks: Sequence[TaskResult], *, seed: int, resamples: int
) -> dict[str, Figure] | None:
    """Figures averaged over tasks with equal weight; None for a single task."""
    metrics = list(tasks[0].metrics)
    if len(tasks) < 2 or not metrics:
        return None
    groups = together([task.group_numbers() for task in tasks], [task.queries for task in tasks])
    parts = [task.outcomes(metrics) for task in tasks]
    figures = estimated(parts, groups, seed=seed, resamples=resamples)
    return dict(zip(metrics, figures, strict=True))
