"""Comparisons of composers as a page: tables, curves, and queries to look at."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.bench.compare import Section
from composir.bench.metrics import ABSENT, Ranks, metric_label
from composir.bench.report import figures
from composir.bench.results import Result, TaskResult
from composir.bench.task import BenchQuery, BenchTask
from composir.errors import ImageReadError
from composir.pages.charts import Bars, Curve, aspect_bars, recall_curve
from composir.pages.rendering import Pictures, render

DEPTH = 10
"""A query counts as answered when a target is among this many hits."""


@dataclass(frozen=True, slots=True)
class Group:
    """Queries shown under one heading.

    Attributes:
        title: For people.
        note: One sentence.
        rows: Places of the queries in the task.
        methods: Which methods' hits are shown.
    """

    title: str
    note: str
    rows: tuple[int, ...]
    methods: tuple[int, ...]


def best_rank(task: TaskResult) -> Ranks:
    """(n,) rank of the best target that counts; the subset's where the gallery is not ranked."""
    rankings = task.rankings()
    ranks = rankings.ranks if rankings.primary is None else rankings.primary
    if ranks.shape[1] == 0:
        ranks = rankings.subset if rankings.subset is not None else ranks
    if ranks.shape[1] == 0:
        return np.full(task.queries, np.iinfo(np.int64).max)
    return np.asarray(ranks.min(axis=1))


def depth_of(task: TaskResult) -> int:
    """How many hits count as found: ten, or one where little is ranked."""
    return DEPTH if task.ranks.shape[1] and task.gallery > 2 * DEPTH else 1


def choose(
    results: Sequence[Result], methods: Sequence[str], number: int, *, seed: int = 0, each: int = 4
) -> tuple[Group, ...]:
    """Choose queries of one task."""
    ranks = np.stack([best_rank(result.tasks[number]) for result in results])
    depth = depth_of(results[0].tasks[number])
    order = _by_score(results, number)
    best = order[0]
    rng = np.random.default_rng(seed)
    shown = tuple(order[:2])
    groups = [_contrast(ranks, methods, one, two, depth, each) for one, two in _pairs(order)]
    groups += [
        Group("Typical", "drawn at random", _drawn(np.ones_like(ranks[0]) > 0, rng, each), shown),
        Group(
            f"Best of {methods[best]}",
            "a target came first; drawn at random among those",
            _drawn(ranks[best] == 1, rng, each),
            shown,
        ),
        Group(
            f"Worst of {methods[best]}",
            "the best target came last of all queries",
            tuple(np.argsort(-ranks[best], kind="stable")[:each].tolist()),
            shown,
        ),
    ]
    return tuple(group for group in groups if group.rows)


def _by_score(results: Sequence[Result], number: int) -> list[int]:
    headline = results[0].tasks[number].headline
    scores = [result.tasks[number].outcomes([headline]).mean() for result in results]
    return sorted(range(len(scores)), key=lambda method: -scores[method])


def _pairs(order: Sequence[int]) -> list[tuple[int, int]]:
    """The two best methods, both ways."""
    return [(order[0], order[1]), (order[1], order[0])] if len(order) > 1 else []


def _contrast(
    ranks: NDArray[np.int64],
    methods: Sequence[str],
    one: int,
    two: int,
    depth: int,
    each: int,
) -> Group:
    alone = np.flatnonzero((ranks[one] <= depth) & (ranks[two] > depth))
    order = np.lexsort((alone, -ranks[two][alone], ranks[one][alone]))
    rows = tuple(alone[order[:each]].tolist())
    return Group(
        f"{methods[one]} got, {methods[two]} did not",
        f"{len(alone):,} queries have a target in the first {depth} with the one and not with the "
        f"other; the clearest are shown",
        rows,
        (one, two),
    )


def _drawn(mask: NDArray[np.bool_], rng: np.random.Generator, each: int) -> tuple[int, ...]:
    rows = np.flatnonzero(mask)
    return tuple(sorted(rng.permutation(rows)[:each].tolist()))


def alone_counts(results: Sequence[Result], number: int) -> NDArray[np.int64]:
    """(methods, methods): queries that the row's method answered and the column's did not."""
    depth = depth_of(results[0].tasks[number])
    found = np.stack([best_rank(result.tasks[number]) <= depth for result in results])
    return np.asarray((found[:, None] & ~found[None]).sum(axis=2), dtype=np.int64)


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


# Steps of the golden angle keep the hues of neighbours apart, however many there are.
_GOLDEN_ANGLE, _FIRST_HUE = 137.508, 211.0
# Hues come close to earlier ones after eight steps; another lightness tells them apart.
_PERIOD = 8
_LIGHT, _DARK = ((75, 34), (38, 38), (85, 22)), ((85, 71), (60, 58), (90, 85))


def series_style(count: int) -> str:
    """Style rules of the classes `s` (lines), `f` (bars) and `b` (swatches), numbered from 0."""
    numbers = range(count)
    classes = (("s", "stroke"), ("f", "fill"), ("b", "background"))
    rules = (f".{c}{n}{{{what}:var(--c{n})}}" for n in numbers for c, what in classes)
    pairs = (f"light-dark({_colour(n, _LIGHT)}, {_colour(n, _DARK)})" for n in numbers)
    colours = ";".join(f"--c{n}:{pair}" for n, pair in enumerate(pairs))
    return f":root{{{colours}}}{''.join(rules)}\n"


def _colour(number: int, shades: tuple[tuple[int, int], ...]) -> str:
    hue = (_FIRST_HUE + _GOLDEN_ANGLE * number) % 360
    saturation, lightness = shades[number // _PERIOD % len(shades)]
    return f"hsl({hue:.0f} {saturation}% {lightness}%)"
