"""Finding pairs: pictures near each other, and pictures that share all attributes but one.

Which columns of a table can differ between two pictures, and which hold them together: a *value
column* takes few values again and again ("colour", "class"); a *title column* holds free text
("title"), from which the words of the column at hand are taken out before titles are compared.

All pairs come as endless-looking streams in rounds (first one pair for every reference, then a
second, ...), so that few triplets are spread over all pictures, and nothing is kept in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composir.errors import DatasetError
from composir.triplets.records import Pair, PairKind, SourceImage, pair_rng
from composir.triplets.words import plain, words_of
from composir.types import FloatArray

_NOTHING = frozenset(
    {"", "na", "n a", "n.a.", "nan", "none", "null", "unknown", "other", "others", "not sure"}
    | {"misc", "skip", "unspecified", "-", "?"}
)
_SWITCHES = frozenset({"true", "false", "yes", "no", "y", "n", "0", "1", "on", "off"})
_MOST_VALUES = 256
_BLOCK = 512
_LOOKED_AT = 32
_MOST_WORDS = 3.0
_SEEN_FROM = 0.6


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """Columns by what they are good for: few values that come again and again, or free text."""

    values: tuple[str, ...]
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Pictures that agree in everything named but `vary`.

    Attributes:
        vary: The column that may differ.
        values: Columns that must agree.
        titles: Columns that must agree once the words of `vary`'s values are taken out.
    """

    vary: str
    values: tuple[str, ...]
    titles: tuple[str, ...]

    @property
    def has_context(self) -> bool:
        """Whether anything must agree at all."""
        return bool(self.values or self.titles)


def value_of(image: SourceImage, column: str) -> str:
    """An attribute as people write it; empty where it says nothing ("unknown")."""
    value = plain(image.attributes.get(column, ""))
    return "" if value in _NOTHING else value


def find_columns(images: Sequence[SourceImage]) -> ColumnRoles:
    """Sort a source's attributes by what they are good for."""
    names = dict.fromkeys(name for image in images for name in image.attributes)
    values: list[str] = []
    titles: list[str] = []
    for name in names:
        counts = Counter(value for image in images if (value := value_of(image, name)))
        if counts.total() * 2 < len(images) or len(counts) < 2 or set(counts) <= _SWITCHES:
            continue
        (values if _repeats(counts) else titles).append(name)
    return ColumnRoles(tuple(values), tuple(titles))


def _repeats(counts: Counter[str]) -> bool:
    words = sum(len(value.split()) for value in counts) / len(counts)
    return len(counts) <= min(_MOST_VALUES, counts.total() // 2) and words <= _MOST_WORDS


def visibility(
    images: Sequence[SourceImage],
    column: str,
    matrix: FloatArray,
    encode: Callable[[Sequence[str]], FloatArray],
) -> float:
    """How well the model sees a column: a picture's own value against all others.

    Returns:
        The share of (picture, other value) in which the picture, a row of `matrix` (n, D), is
        nearer to its own value, each value of equal weight; 0.5 is chance. Similarities are centred
        for each value first, because some words are near to everything.
    """
    own = [value_of(image, column) for image in images]
    names = sorted(set(own) - {""})
    rows = np.array([row for row, value in enumerate(own) if value])
    right = np.array([names.index(own[row]) for row in rows])
    scores = matrix[rows] @ encode(names).T
    scores = scores - scores.mean(axis=0)
    mine = scores[np.arange(len(rows)), right]
    wins = (scores < mine[:, None]).sum(axis=1) / max(1, len(names) - 1)
    return float(np.mean([wins[right == place].mean() for place in range(len(names))]))


def choose_groupings(
    images: Sequence[SourceImage],
    seen: Mapping[str, float],
    columns: ColumnRoles,
    vary: Sequence[str],
    group: Sequence[str],
) -> tuple[Grouping, ...]:
    """Decide which columns are varied, each within which others."""
    _refuse_unknown(images, (*vary, *group))
    shown = tuple(name for name in columns.values if seen.get(name, 0.0) >= _SEEN_FROM)
    chosen = [_grouping(images, name, shown, columns, group) for name in vary or shown]
    return tuple(grouping for grouping in chosen if _paired(images, grouping))


def _grouping(
    images: Sequence[SourceImage],
    vary: str,
    shown: tuple[str, ...],
    columns: ColumnRoles,
    group: Sequence[str],
) -> Grouping:
    if group:
        titles = tuple(name for name in group if name in columns.titles and name != vary)
        values = tuple(name for name in group if name not in columns.titles and name != vary)
        return Grouping(vary, values, titles)
    others = tuple(name for name in shown if name != vary)
    full = Grouping(vary, others, tuple(name for name in columns.titles if name != vary))
    return full if _paired(images, full) * 50 >= len(images) else Grouping(vary, others, ())


def groups_of(images: Sequence[SourceImage], grouping: Grouping) -> list[dict[str, list[int]]]:
    """Places of pictures by the value of the varied column, one dict a group of two or more."""
    vocabulary = frozenset(
        word for image in images for word in words_of(value_of(image, grouping.vary))
    )
    found: dict[tuple[str, ...], dict[str, list[int]]] = {}
    for place, image in enumerate(images):
        value = value_of(image, grouping.vary)
        key = _key(image, grouping, vocabulary)
        if value and (any(key) or not grouping.has_context):
            found.setdefault(key, {}).setdefault(value, []).append(place)
    return [members for members in found.values() if len(members) > 1]


def _key(image: SourceImage, grouping: Grouping, vocabulary: frozenset[str]) -> tuple[str, ...]:
    titles = (
        " ".join(w for w in words_of(image.attributes.get(name, "")) if w not in vocabulary)
        for name in grouping.titles
    )
    return (*(value_of(image, name) for name in grouping.values), *titles)


def _paired(images: Sequence[SourceImage], grouping: Grouping) -> int:
    """Pictures that have a partner."""
    groups = groups_of(images, grouping)
    return sum(len(places) for members in groups for places in members.values())


def _refuse_unknown(images: Sequence[SourceImage], names: Iterable[str]) -> None:
    there = dict.fromkeys(name for image in images for name in image.attributes)
    for name in names:
        if name not in there:
            raise DatasetError(
                f"no text column {name!r} to vary or group by; there is: "
                f"{', '.join(there) or 'none at all'}"
            )


def neighbours(matrix: FloatArray, k: int, below: float) -> NDArray[np.int32]:
    """The k nearest rows of each row of `matrix` (n, D), float32 of unit norm.

    Rows as similar as `below` are near duplicates and left out. Works in blocks of rows: 512 x n
    similarities at a time (61 MB for 30,000 pictures).
    """
    width = min(k, len(matrix) - 1)
    found = np.full((len(matrix), width), -1, dtype=np.int32)
    for start in range(0, len(matrix), _BLOCK):
        scores = matrix[start : start + _BLOCK] @ matrix.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        scores[scores >= below] = -np.inf
        best = np.argpartition(scores, -width, axis=1)[:, -width:]
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        is_real = np.isfinite(np.take_along_axis(values, order, axis=1))
        found[start : start + len(scores)] = np.where(is_real, best, -1)
    return found


def near_pairs(
    kind: PairKind, near: NDArray[np.int32], images: Sequence[SourceImage], seed: int
) -> Iterator[Pair]:
    """Pairs of neighbours, (n, k) from `neighbours`, in rounds; the seed orders a picture's."""
    if not near.size:
        return
    dice = (pair_rng(seed, kind, image.id) for image in images)
    orders = np.stack([one.permutation(near.shape[1]).astype(np.int8) for one in dice])
    for turn in range(near.shape[1]):
        for row in pair_rng(seed, kind, str(turn)).permutation(len(images)):
            target = int(near[row, orders[row, turn]])
            if target >= 0:
                yield Pair(kind, int(row), target)


def attribute_pairs(
    grouping: Grouping, images: Sequence[SourceImage], matrix: FloatArray, below: float, seed: int
) -> Iterator[Pair]:
    """Pairs that differ in one column, in rounds: each time another value of it.

    Among some pictures with the other value, the one that looks most like the reference by `matrix`
    (n, D) is taken, unless they are as similar as `below`: those are near duplicates.
    """
    groups = groups_of(images, grouping)
    members = [(row, group, value) for group in groups for value in group for row in group[value]]
    turns = max((len(group) for group in groups), default=1) - 1
    for turn in range(turns):
        for place in pair_rng(seed, grouping.vary, str(turn)).permutation(len(members)):
            row, group, value = members[place]
            others = [name for name in group if name != value]
            if turn >= len(others):
                continue
            rng = pair_rng(seed, grouping.vary, images[row].id)
            new = others[rng.permutation(len(others))[turn]]
            target = _lookalike(row, group[new], matrix, below, rng)
            if target is not None:
                equal = tuple(group[new]) if grouping.has_context else ()
                yield Pair("attribute", row, target, grouping.vary, value, new, equal)


def _lookalike(
    row: int, candidates: list[int], matrix: FloatArray, below: float, rng: np.random.Generator
) -> int | None:
    some = np.array(candidates)
    if len(some) > _LOOKED_AT:
        some = rng.choice(some, _LOOKED_AT, replace=False)
    scores = matrix[some] @ matrix[row]
    scores[scores >= below] = -np.inf
    best = int(np.argmax(scores))
    return int(some[best]) if np.isfinite(scores[best]) else None


def alternate(streams: Iterable[Iterator[Pair]]) -> Iterator[Pair]:
    """One of each stream in turn, for as long as there are any."""
    running = list(streams)
    while running:
        ended = []
        for stream in running:
            pair = next(stream, None)
            if pair is None:
                ended.append(stream)
            else:
                yield pair
        running = [stream for stream in running if stream not in ended]
