"""Comparisons of composers as a page: tables, curves, and queries to look at."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from composir.bench.compare import Section
from composir.bench.metrics import ABSENT, metric_label
from composir.bench.report import figures
from composir.bench.report.samples import Group, alone_counts, best_rank, choose, depth_of
from composir.bench.results import Result
from composir.bench.task import BenchQuery, BenchTask
from composir.errors import ImageReadError
from composir.pages.charts import Bars, Curve, aspect_bars, recall_curve
from composir.pages.embedded import Pictures
from composir.pages.rendering import render
from composir.pages.series import series_style

_SIDE = 108
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Tile:
    """One image among a query's hits: its picture, else its caption, else its id."""

    name: str
    text: str
    style: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class ShownQuery:
    """A query with the first hits of some composers: name, rank of the first target, tiles."""

    query: BenchQuery
    reference: Tile | None
    answers: tuple[tuple[str, str, tuple[Tile, ...]], ...]


@dataclass(frozen=True, slots=True)
class TaskQueries:
    """Queries of one task to look at, and how many each composer answered alone."""

    name: str
    depth: int
    alone: list[list[int]]
    groups: list[tuple[Group, list[ShownQuery]]]


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A data set's part of the page."""

    section: Section
    curve: Curve | None
    bars: Bars | None
    samples: list[TaskQueries]


def bench_report(
    sections: Sequence[Section], tasks: Mapping[str, BenchTask], *, title: str = ""
) -> str:
    """Lay out a page."""
    pictures = Pictures()
    shown = [_section(section, tasks, pictures) for section in sections]
    most = max((len(section.methods) for section in sections), default=0)
    return render(
        "bench_report.html",
        title=title or "composir bench: " + "; ".join(section.title for section in sections),
        rules=series_style(most) + pictures.rules(),
        sections=shown,
        dates=sorted({result.header.date for part in sections for result in part.results}),
        version=sections[0].results[0].header.packages.get("composir", ""),
        told=figures,
        metric_label=metric_label,
        provenance=provenance,
    )


def provenance(result: Result) -> dict[str, str]:
    """Where a result comes from, by what a reader would ask for; without what is unknown."""
    header, model, tuning = result.header, result.header.model, result.header.tuning
    mark = header.composer_fingerprint
    facts = {
        "bundle": f"{model.name}, fingerprint {model.fingerprint}" if model else "none",
        "preprocessing": _listed(model.preprocess) if model else "",
        "composer": header.method + (f", fingerprint {mark}" if mark else ""),
        "image vectors": header.image_vectors,
        "annotations": f"SHA-256 {header.checksum}",
        "settings chosen on": (
            f"{tuning.dataset}, {tuning.split}: {tuning.metric}, {tuning.tried:,} points, "
            f"{tuning.queries:,} queries"
            if tuning
            else ""
        ),
        "seed": f"{header.seed}, {header.resamples:,} resamples",
        "date": header.date,
        "versions": _listed({"Python": header.python, **header.packages}),
    }
    return {name: text for name, text in facts.items() if text}


def _listed(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _section(section: Section, tasks: Mapping[str, BenchTask], pictures: Pictures) -> ReportSection:
    parts = section.results[0].tasks
    aspects = [result.tasks[0].aspects for result in section.results]
    samples = [
        _samples(section, place, tasks[part.name], pictures)
        for place, part in enumerate(parts)
        if part.name in tasks and part.metrics
    ]
    return ReportSection(
        section,
        recall_curve(section.results),
        aspect_bars(aspects) if len(parts) == 1 else None,
        samples,
    )


def _samples(section: Section, place: int, task: BenchTask, pictures: Pictures) -> TaskQueries:
    results = section.results
    groups = choose(results, section.methods, place, seed=results[0].header.seed)
    sample = _ShownQueries(section, place, task, pictures).sample
    return TaskQueries(
        name=task.name if len(results[0].tasks) > 1 else "",
        depth=depth_of(results[0].tasks[place]),
        alone=alone_counts(results, place).tolist() if len(results) > 1 else [],
        groups=[(group, [sample(row, group.methods) for row in group.rows]) for group in groups],
    )


class _ShownQueries:
    """Makes the samples of one task."""

    def __init__(self, section: Section, place: int, task: BenchTask, pictures: Pictures) -> None:
        outcomes = [result.tasks[place] for result in section.results]
        by_id = {query.id: query for query in task.queries}
        self._methods = section.methods
        self._queries = [by_id[name] for name in outcomes[0].query_ids]
        self._hits = [outcome.first_hits() for outcome in outcomes]
        self._ranks = [best_rank(outcome).tolist() for outcome in outcomes]
        self._task = task
        self._pictures = pictures
        self._tiles: dict[str, Tile] = {}

    def sample(self, row: int, methods: Sequence[int]) -> ShownQuery:
        query = self._queries[row]
        reference = None if query.reference is None else self._tile(query.reference)
        answers = tuple(
            (
                self._methods[method],
                _rank_text(self._ranks[method][row]),
                tuple(self._judged(self._hits[method][row], query)),
            )
            for method in methods
        )
        return ShownQuery(query, reference, answers)

    def _judged(self, hits: Sequence[str], query: BenchQuery) -> Iterator[Tile]:
        for hit in hits:
            tile = self._tile(hit)
            yield Tile(tile.name, tile.text, tile.style, right=hit in query.targets)

    def _tile(self, name: str) -> Tile:
        if name not in self._tiles:
            self._tiles[name] = self._new_tile(name)
        return self._tiles[name]

    def _new_tile(self, name: str) -> Tile:
        if self._task.captions is not None:
            return Tile(name, self._task.captions.get(name, ("",))[0], "caption")
        jpeg = _jpeg(self._task, name)
        if jpeg is None:
            return Tile(name, name, "")
        return Tile(name, "", self._pictures.add(f"{self._task.name} {name}", jpeg))


def _jpeg(task: BenchTask, name: str) -> bytes | None:
    """A small picture; None where it is not at hand, so that its id is shown instead."""
    picture = task.pictures.get(name)
    if picture is None or not picture.path.is_file():
        return None
    try:
        rgb = picture.open(min_side=2 * _SIDE)
    except ImageReadError:
        return None
    rgb.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _rank_text(rank: int) -> str:
    return "not ranked" if rank == ABSENT else f"first target at {rank:,}"
