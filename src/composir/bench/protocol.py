"""The one way in which every benchmark is run: compose, rank, score.

Galleries are ranked in blocks of queries, so that memory does not grow with queries times gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.bench.metrics import (
    ABSENT,
    Ranks,
    average_precision,
    parse_metric,
    recall,
    refuse_unranked,
    set_recall,
    target_ranks,
    top_columns,
)
from composir.bench.task import BenchQuery, BenchTask
from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.compose.negation import read_negation as read_negation_of
from composir.compose.template import without_reference
from composir.compose.unwanted import Unwanted
from composir.errors import BenchError
from composir.types import FloatArray

TOP = 50
"""How many hits a query's list keeps: what both servers ask for."""

_BATCH = 256
_BLOCK_CELLS = 32_000_000


@dataclass(frozen=True, slots=True)
class Rankings:
    """What a method made of a task's queries; n rows in the order of the queries.

    Attributes:
        ranks: (n, t) of all targets in the gallery, see `metrics.target_ranks`; t = 0 where the
            whole gallery is not ranked.
        primary: (n, 1) of the primary target among *all* others; None where tasks have none.
        subset: (n, s) of the targets within the query's subset; None where there are none.
        top: (n, up to 50) columns of the gallery, best first, padded with -1; of the subset where
            the whole gallery is not ranked.
        top_subset: (n, up to 3) columns of the gallery, best of the subset; None without subsets.
    """

    ranks: Ranks
    primary: Ranks | None
    subset: Ranks | None
    top: Ranks
    top_subset: Ranks | None


def compose(
    queries: Sequence[BenchQuery],
    composer: Composer,
    vectors: Mapping[str, FloatArray],
    openers: Mapping[str, Callable[[], Image.Image]] | None = None,
    *,
    read_negation: bool = False,
) -> ComposedQueries:
    """Compose all queries of a task.

    Args:
        queries: The queries; those with several texts get the normalised mean of their vectors.
        composer: The method under test.
        vectors: (D,) by image id, for all references.
        openers: Functions that open the references, by image id; None where only vectors are
            at hand.
        read_negation: Read "without X" in texts as a negative, as searches do; a benchmark's
            protocol takes texts as they are.
    """
    rows = [
        _row(number, text, query, read_negation)
        for number, query in enumerate(queries)
        for text in query.texts
    ]
    parts: list[tuple[list[int], ComposedQueries]] = []
    for members in _groups(queries, rows):
        for start in range(0, len(members), _BATCH):
            chosen = members[start : start + _BATCH]
            batch = _batch(queries, [rows[i] for i in chosen], composer, vectors, openers)
            parts.append((chosen, _checked(composer.compose(batch), composer, len(chosen))))
    return _averaged(queries, rows, parts)


@dataclass(frozen=True, slots=True)
class _Row:
    """One text of a query, by its number, and what must not be there."""

    number: int
    text: str
    negatives: tuple[str, ...] = ()


def _row(number: int, text: str, query: BenchQuery, read: bool) -> _Row:
    reading = read_negation_of(text) if read else None
    if reading is None or not reading.negatives:
        return _Row(number, text)
    if query.reference is None and not reading.wanted:
        return _Row(number, text)  # words that only rule something out: as they are
    return _Row(number, reading.wanted, reading.negatives)


def _groups(queries: Sequence[BenchQuery], rows: Sequence[_Row]) -> list[list[int]]:
    """Rows of one shape each: composers take batches that agree in what they have."""
    groups: dict[tuple[bool, bool], list[int]] = {}
    for index, row in enumerate(rows):
        shape = (queries[row.number].reference is not None, bool(row.text))
        groups.setdefault(shape, []).append(index)
    return list(groups.values())


def _batch(
    queries: Sequence[BenchQuery],
    rows: Sequence[_Row],
    composer: Composer,
    vectors: Mapping[str, FloatArray],
    openers: Mapping[str, Callable[[], Image.Image]] | None,
) -> QueryBatch:
    texts = tuple(_text_for(row.text, composer) for row in rows)
    negatives = tuple(row.negatives for row in rows)
    references = [queries[row.number].reference for row in rows]
    ids = [reference for reference in references if reference is not None]
    if not ids:
        return QueryBatch(texts, negatives=negatives)
    images = None if openers is None else [openers[name] for name in ids]
    return QueryBatch(texts, np.stack([vectors[name] for name in ids]), images, negatives)


def _text_for(text: str, composer: Composer) -> str:
    """A text as the composer takes it: only some know a placeholder for the reference."""
    return text if composer.traits.star else without_reference(text)


def _checked(composed: ComposedQueries, composer: Composer, count: int) -> ComposedQueries:
    if len(composed) != count:
        raise BenchError(f"composer {composer.name}: {len(composed)} vectors for {count} queries")
    if not np.isfinite(composed.vectors).all():
        raise BenchError(f"composer {composer.name}: NaN or infinite query vectors")
    return composed


def _averaged(
    queries: Sequence[BenchQuery],
    rows: Sequence[_Row],
    parts: Sequence[tuple[list[int], ComposedQueries]],
) -> ComposedQueries:
    shapes = {(part.vectors.shape[1:], part.rule) for _, part in parts}
    if len(shapes) != 1:
        raise BenchError(f"the composer returned vectors of different shapes: {sorted(shapes)}")
    (shape, rule) = shapes.pop()
    sums = np.zeros((len(queries), *shape), dtype=np.float32)
    for members, part in parts:
        np.add.at(sums, [rows[i].number for i in members], part.vectors)
    several = np.array([len(query.texts) > 1 for query in queries])
    if several.any():
        norms = np.linalg.norm(sums[several], axis=-1, keepdims=True)
        sums[several] /= np.maximum(norms, np.finfo(np.float32).tiny)
    return ComposedQueries(sums, rule, _ruled_out(len(queries), rows, parts))


def _ruled_out(
    count: int, rows: Sequence[_Row], parts: Sequence[tuple[list[int], ComposedQueries]]
) -> tuple[Unwanted, ...]:
    """What each query rules out: what any of its texts does."""
    found: list[list[Unwanted]] = [[] for _ in range(count)]
    for members, part in parts:
        for member, unwanted in zip(members, part.unwanted, strict=False):
            found[rows[member].number].append(unwanted)
    if not any(found):
        return ()
    width = next(part.vectors.shape[-1] for _, part in parts)
    return tuple(Unwanted.together(own, width) for own in found)


def rank(
    task: BenchTask, composed: ComposedQueries, gallery: FloatArray, *, top: int = TOP
) -> Rankings:
    """Rank a task's gallery for every query.

    Args:
        task: The task.
        composed: One composed query each.
        gallery: (g, D) float32, rows in the order of `task.gallery`.
        top: How many hits of each query to list; 0 where ranks alone matter.
    """
    if composed.vectors.shape[-1] != gallery.shape[1]:
        raise BenchError(
            f"{task.name}: query vectors have {composed.vectors.shape[-1]} numbers, "
            f"the gallery's {gallery.shape[1]}"
        )
    blocks = [rank_scores(task, *block, top=top) for block in _score_blocks(composed, gallery)]
    return Rankings(
        ranks=_joined([block.ranks for block in blocks]),
        primary=_joined_if([block.primary for block in blocks]),
        subset=_joined_if([block.subset for block in blocks]),
        top=_joined([block.top for block in blocks]),
        top_subset=_joined_if([block.top_subset for block in blocks]),
    )


def _joined(parts: Sequence[Ranks]) -> Ranks:
    """Rows of different widths below one another, padded with `ABSENT`."""
    width = max(part.shape[1] for part in parts)
    pads = [((0, 0), (0, width - part.shape[1])) for part in parts]
    return np.concatenate(
        [np.pad(part, pad, constant_values=ABSENT) for part, pad in zip(parts, pads, strict=True)]
    )


def _joined_if(parts: Sequence[Ranks | None]) -> Ranks | None:
    present = [part for part in parts if part is not None]
    return _joined(present) if present else None


def _score_blocks(
    composed: ComposedQueries, gallery: FloatArray
) -> Iterator[tuple[NDArray[np.float32], int]]:
    block = max(1, _BLOCK_CELLS // (len(gallery) * composed.vectors.shape[1]))
    for start in range(0, len(composed), block):
        yield composed.part(start, start + block).scores(gallery), start


def rank_scores(
    task: BenchTask, scores: NDArray[np.floating], start: int = 0, *, top: int = TOP
) -> Rankings:
    """Rank from scores, whoever computed them.

    Args:
        task: The task.
        scores: (n, g) for n of its queries and its gallery; any float type.
        start: The first of these queries.
        top: How many hits of each query to list.
    """
    refuse_unranked(scores, task.name)
    queries = task.queries[start : start + len(scores)]
    column = {name: index for index, name in enumerate(task.gallery)}
    excluded = [column.get(q.reference or "") if task.exclude_reference else None for q in queries]
    targets = [[column[name] for name in query.targets] for query in queries]
    subsets = [[column[name] for name in query.subset] for query in queries]
    whole = ranks_whole_gallery(task)
    has_subset = any(subsets)
    return Rankings(
        ranks=target_ranks(scores, targets if whole else [[]] * len(queries), excluded),
        primary=_primary(queries, scores, column, excluded) if whole else None,
        subset=_subset_ranks(scores, targets, subsets) if has_subset else None,
        top=_top(scores, top, targets, excluded if whole else None, None if whole else subsets),
        top_subset=_top(scores, 3, targets, None, subsets) if has_subset else None,
    )


def ranks_whole_gallery(task: BenchTask) -> bool:
    """Whether any metric of the task looks at the whole gallery, not at subsets alone."""
    return any(parse_metric(name)[0] != "recall_subset" for name in task.metrics)


def _primary(
    queries: Sequence[BenchQuery],
    scores: NDArray[np.floating],
    column: Mapping[str, int],
    excluded: Sequence[int | None],
) -> Ranks | None:
    if all(query.primary is None for query in queries):
        return None
    wanted = [[column[query.primary]] if query.primary else [] for query in queries]
    return target_ranks(scores, wanted, excluded)


def _subset_ranks(
    scores: NDArray[np.floating], targets: Sequence[list[int]], subsets: Sequence[list[int]]
) -> Ranks:
    rows = []
    for row, (right, members) in enumerate(zip(targets, subsets, strict=True)):
        places = [members.index(target) for target in right if target in members]
        rows.append(target_ranks(scores[row : row + 1, members], [places]))
    return _joined(rows)


def _top(
    scores: NDArray[np.floating],
    k: int,
    targets: Sequence[list[int]],
    excluded: Sequence[int | None] | None,
    subsets: Sequence[list[int]] | None,
) -> Ranks:
    """(b, k) columns, padded with -1; of the subsets where they are given."""
    top = np.full((len(scores), k), -1, dtype=np.int64)
    for row, right in enumerate(targets if k else ()):
        if subsets is None:
            left_out = None if excluded is None else excluded[row]
            best = top_columns(scores[row], k, right, left_out)
        else:
            members = np.asarray(subsets[row], dtype=np.int64)
            places = [place for place, member in enumerate(subsets[row]) if member in right]
            best = members[top_columns(scores[row, members], k, places)]
        top[row, : len(best)] = best
    return top


def outcomes(rankings: Rankings, metrics: Sequence[str]) -> NDArray[np.float64]:
    """Score every query."""
    return np.stack([_outcome(rankings, name) for name in metrics], axis=1)


def _outcome(rankings: Rankings, name: str) -> NDArray[np.float64]:
    kind, k = parse_metric(name)
    if kind == "recall":
        return recall(rankings.ranks if rankings.primary is None else rankings.primary, k)
    if kind == "set_recall":
        return set_recall(rankings.ranks, k)
    if kind == "map":
        return average_precision(rankings.ranks, k)
    if rankings.subset is None:
        raise BenchError(f"{name} needs queries with a subset; this task has none")
    return recall(rankings.subset, k)
