"""Chooses a composer's settings on a dev split, and keeps that split out of what is reported."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from composir.bench.evaluation import PreparedTask
from composir.bench.memo import SharedComposers
from composir.bench.metrics import CRITERION
from composir.bench.protocol import compose, outcomes, rank, ranks_whole_gallery
from composir.bench.results import Tuning
from composir.bench.task import BenchQuery, BenchTask
from composir.compose.base import Composer
from composir.data.outputs import OutputKind, write_file
from composir.data.schema import read_model
from composir.errors import BenchError
from composir.model.base import EmbeddingModel

TUNED = OutputKind("tuned settings", (".json",), (rb'\{\s*"format": ?"composir-bench-tuned"',))
Settings = dict[str, float | int | str]
_MOST_TRIALS = 2_000


class Trial(BaseModel):
    """One point of the grid and its score in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Settings
    score: float


class Tuned(BaseModel):
    """What `composir bench tune` found, and on what.

    Attributes:
        composer: Which.
        settings: The best; ties go to the first in the grid.
        metric: What was maximised.
        dataset: Tuned on.
        split: Of it.
        checksum: Of its annotations.
        fingerprint: Of the model.
        keys: Digests of the queries tuned on, so that a report on any of them can be refused.
        trials: The whole grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["composir-bench-tuned"] = "composir-bench-tuned"
    version: Literal[1] = 1
    composer: str
    settings: Settings
    metric: str
    dataset: str
    split: str
    checksum: str
    fingerprint: str
    keys: tuple[str, ...]
    trials: tuple[Trial, ...]

    def save(self, path: Path) -> None:
        """Write the file, and the folder that it lies in."""
        write_file(path, self.model_dump_json(indent=1) + "\n", TUNED)


def load_tuned(path: Path) -> Tuned:
    """Read what `tune` wrote."""
    return read_model(path, Tuned, BenchError, "a file that `composir bench tune` wrote")


def parse_grid(texts: Sequence[str]) -> dict[str, list[float]]:
    """Read a grid from the command line."""
    grid: dict[str, list[float]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            grid[name.strip()] = _values(values)
        except ValueError as error:
            raise BenchError(
                f"--grid {text!r}: write NAME=START:STOP:STEP or NAME=A,B,C ({error})"
            ) from error
    if len(list(itertools.islice(_points(grid), _MOST_TRIALS + 1))) > _MOST_TRIALS:
        raise BenchError(f"the grid has more than {_MOST_TRIALS:,} points")
    return grid


def _values(text: str) -> list[float]:
    if ":" not in text:
        return [float(value) for value in text.split(",")]
    start, stop, step = (float(part) for part in text.split(":"))
    if step <= 0 or stop < start:
        raise ValueError("the step must be above 0 and the stop not below the start")
    if (stop - start) / step > _MOST_TRIALS:
        raise ValueError(f"more than {_MOST_TRIALS:,} points")
    return [round(start + i * step, 10) for i in range(int((stop - start) / step + 1e-9) + 1)]


def _points(grid: Mapping[str, Sequence[float]]) -> Iterator[Settings]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def tune(
    prepared: Sequence[PreparedTask],
    model: EmbeddingModel,
    composer: str,
    grid: Mapping[str, Sequence[float]],
    metric: str | None = None,
) -> Tuned:
    """Choose the best point of a grid.

    Args:
        prepared: The dev split's tasks; scores are averaged over them.
        model: The model.
        composer: Name in the table of composers.
        grid: Values by setting.
        metric: What to maximise; None for `CRITERION`, or the headline where only subsets are
            ranked.
    """
    tasks = [part.task for part in prepared]
    usual = CRITERION if ranks_whole_gallery(tasks[0]) else (tasks[0].headline,)
    wanted = (metric,) if metric else usual
    trials = [
        Trial(settings=settings, score=float(scores.mean()))
        for settings, scores in tried(prepared, model, composer, grid, wanted)
    ]
    best = max(trials, key=lambda trial: trial.score)
    return Tuned(
        composer=composer,
        settings=best.settings,
        metric=in_words(wanted),
        dataset=tasks[0].name,
        split=tasks[0].split,
        checksum=tasks[0].checksum,
        fingerprint=model.fingerprint,
        keys=tuple(sorted(query_keys(tasks))),
        trials=tuple(trials),
    )


def in_words(metrics: Sequence[str]) -> str:
    """A criterion for people: `mean of recall@10 and map@10`."""
    return metrics[0] if len(metrics) == 1 else f"mean of {' and '.join(metrics)}"


def tried(
    prepared: Sequence[PreparedTask],
    model: EmbeddingModel,
    composer: str,
    grid: Mapping[str, Sequence[float]],
    metrics: Sequence[str],
) -> Iterator[tuple[Settings, NDArray[np.float64]]]:
    """Score every point of a grid; texts are encoded once.

    Yields:
        The settings, and (tasks, metrics) float64, percent.
    """
    for part in prepared:
        if part.task.hidden_truth:
            raise BenchError(f"{part.task.name}, {part.task.split}: the truth is not public")
    if not grid:
        raise BenchError("an empty grid: say what to try, e.g. --grid alpha=0:1:0.05")
    made = SharedComposers(model)
    for settings in _points(grid):
        method = made(composer, settings)
        yield settings, np.array([_scores(part, method, metrics) for part in prepared])


def _scores(part: PreparedTask, method: Composer, metrics: Sequence[str]) -> NDArray[np.float64]:
    composed = compose(part.task.queries, method, part.table.by_id(), part.openers)
    rows = part.table.rows(part.task.gallery, part.task.name)
    scores = outcomes(rank(part.task, composed, rows, top=0), metrics)
    return np.asarray(100 * scores.mean(axis=0))


def query_keys(tasks: Sequence[BenchTask]) -> set[str]:
    """Digests that tell queries apart by what they ask, whatever the split is called."""
    return {_key(query) for task in tasks for query in task.queries}


def _key(query: BenchQuery) -> str:
    asked = repr((query.reference, query.texts, sorted(query.targets)))
    return hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()


def apply_tuned(tuned: Tuned, tasks: Sequence[BenchTask], model: EmbeddingModel) -> Tuning:
    """Check that tuned settings may be used for a report."""
    shared = query_keys(tasks) & set(tuned.keys)
    if shared:
        raise BenchError(
            f"refused: {len(shared):,} queries of {tasks[0].name}, {tasks[0].split} were used to "
            f"tune {tuned.composer} (on {tuned.dataset}, {tuned.split}); report on another split"
        )
    if tuned.fingerprint != model.fingerprint:
        raise BenchError(
            f"{tuned.composer} was tuned for the model with fingerprint {tuned.fingerprint}, but "
            f"this one is {model.fingerprint}; tune again"
        )
    return Tuning(
        dataset=tuned.dataset,
        split=tuned.split,
        checksum=tuned.checksum,
        metric=tuned.metric,
        queries=len(tuned.keys),
        tried=len(tuned.trials),
    )
