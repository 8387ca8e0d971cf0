"""Ranking a gallery for one query: exactly over all vectors, or through Lance's index.

By date, only what is relevant is ranked. An image was made when its EXIF says, else when its file
was last changed. EXIF times have no time zone; they are the wall clock of who took the picture, so
the file's time is read on this machine's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from composir.compose.base import ComposedQueries
from composir.compose.unwanted import Penalties
from composir.data.remote_paths import as_path
from composir.errors import QueryError
from composir.gallery import rows
from composir.gallery.duplicates import Appearance, Signature
from composir.gallery.matrix import MatrixDamagedError
from composir.gallery.store import Store
from composir.types import FloatArray, SortOrder

if TYPE_CHECKING:
    import pyarrow as pa

    from composir.gallery.codes import Codes

NOT_METADATA = rows.INTERNAL_COLUMNS | {"id", "path", "width", "height"}
_SAMPLE = 4096  # pictures that say how much of something unwanted is much
CODED_FROM = 20_000
"""More images than these are looked through by their codes first."""
MOST_DATED = 5_000  # of the best relevant images: more would cost seconds and pass by chance
_MOST_KEPT = 256 << 20  # bytes of rows in memory: those of a million, with little metadata
_FILTERS_KEPT = 4
_Passed = TypeVar("_Passed")
_FEW = 0.2  # of the gallery: below this share, gathering rows beats multiplying all of them


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image near the top of a ranking."""

    id: str  # the gallery's
    place: str  # where the file was: its path, or the address of what lies in an object store
    score: float  # by the composed query; higher is better
    appearance: Appearance  # for finding duplicates
    # All other columns that people may see.
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The place as a path; many candidates are never asked for it, and it takes its time."""
        return as_path(self.place)


class Ranking(Protocol):
    """The ranking of a gallery for one query."""

    @property
    def searched(self) -> int:
        """Number of images that passed the filter."""

    @property
    def background(self) -> FloatArray:
        """(s,) similarities of all of them or of a fair sample to what is wanted."""

    def best(self, count: int) -> list[Candidate]:
        """The best images, best first; fewer only where no more passed the filter."""


class Ranker(Protocol):
    """Ranks one version of a gallery."""

    @property
    def size(self) -> int:
        """Number of images."""

    def rank(self, composed: ComposedQueries, where: str | None) -> Ranking:
        """Rank for one composed query."""


class CandidateRows:
    """What candidates are made of: read row by row, or kept in memory from the second time on.

    So one search, as the command line makes it, reads what it shows; a program that goes on
    searching reads the table once instead of some 70 rows of it for each query.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._is_asked_again = store, False
        self._columns = [*rows.CANDIDATE_COLUMNS, *store.metadata_columns]
        self._kept: pa.Table | None = None

    def take(self, positions: NDArray[np.int64]) -> pa.Table:
        """The rows at some positions."""
        if self._kept is not None:
            return self._kept.take(positions)
        table = self._store.take(positions.tolist(), self._columns)
        usual = table.nbytes / max(len(table), 1)
        if self._is_asked_again and 0 < usual * len(self._store) <= _MOST_KEPT:
            self._kept = self._store.read(self._columns).combine_chunks()
        self._is_asked_again = True
        return table


def remembering(found: Callable[[str], _Passed]) -> Callable[[str], _Passed]:
    """The same, what it found for the last few filters remembered.

    A ranker gives no method of its own, which would keep it and its matrix alive in a circle.
    """
    kept = lru_cache(_FILTERS_KEPT)(found)
    # What is no text cannot be remembered and gets its error from the parser.
    return lambda where: kept(where) if isinstance(where, Hashable) else found(where)


class ExactRanker:
    """Scores every vector: exact, and the fastest up to a few hundred thousand images."""

    def __init__(self, store: Store, matrix: FloatArray, codes: Codes | None = None) -> None:
        """Rank a store by the matrix of its vectors, (n, D) float32, and codes of many."""
        self._store, self._matrix, self._codes = store, matrix, codes
        self._rows, self._matching = CandidateRows(store), remembering(partial(_found, store))
        self.size = len(matrix)

    def rank(self, composed: ComposedQueries, where: str | None) -> Ranking:
        """Rank for one composed query."""
        penalties = _penalties(composed, self._matrix)
        positions = None if where is None else self._matching(where)
        count = self.size if positions is None else len(positions)
        if self._codes is not None and count > CODED_FROM:
            from composir.gallery.codes import CodedRanking

            rows_, matrix, codes = self._rows, self._matrix, self._codes
            return CodedRanking(rows_, matrix, codes, composed, penalties, positions)
        if positions is None:
            scores = _scores(composed, penalties, self._matrix)
            return ExactRanking(self._rows, scores, None, self._matrix.__getitem__)
        if len(positions) < _FEW * self.size:
            matching = self._matrix[positions]
            scores = _scores(composed, penalties, matching)
            return ExactRanking(self._rows, scores, positions, matching.__getitem__)
        scores = _scores(composed, penalties, self._matrix).at(positions)
        return ExactRanking(
            self._rows, scores, positions, lambda chosen: self._matrix[positions[chosen]]
        )


def _found(store: Store, where: str) -> NDArray[np.int64]:
    from composir.gallery.filters import matching_positions

    return matching_positions(store, where)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of some images for one query."""

    similarities: FloatArray  # (m,) float32, by what is wanted alone
    final: FloatArray  # (m,) float32, less what they show of what is unwanted

    @classmethod
    def of(
        cls, composed: ComposedQueries, penalties: Penalties | None, vectors: FloatArray
    ) -> Scores:
        """Score (m, D) vectors; one more product for each unwanted thing, where there is any."""
        similarities = composed.similarities(vectors)[0]
        final = similarities if penalties is None else similarities - penalties(vectors)
        return cls(similarities, final)

    def at(self, positions: NDArray[np.int64]) -> Scores:
        """Those at some positions."""
        return Scores(self.similarities[positions], self.final[positions])


def _penalties(composed: ComposedQueries, matrix: FloatArray) -> Penalties | None:
    if not np.isfinite(composed.vectors).all():
        raise QueryError("the composer made a query that is no vector of numbers; use another one")
    step = -(-len(matrix) // _SAMPLE) or 1
    return composed.penalties(matrix[::step])[0] if composed.rules_out else None


def _scores(composed: ComposedQueries, penalties: Penalties | None, matrix: FloatArray) -> Scores:
    """The scores of a matrix; NaN among them would rank first."""
    scores = Scores.of(composed, penalties, matrix)
    if not np.isfinite(scores.final).all():
        raise MatrixDamagedError
    return scores


class ExactRanking:
    """Scores of all images that passed the filter."""

    def __init__(
        self,
        rows_: CandidateRows,
        scores: Scores,
        positions: NDArray[np.int64] | None,
        vectors_of: Callable[[NDArray[np.int64]], FloatArray],
    ) -> None:
        """Hold the images that passed.

        `positions` are (m,) rows of the store; None for all. `vectors_of` gives (c, D) vectors of c
        images, chosen by their place among the m.
        """
        self._rows, self._scores = rows_, scores
        self._positions, self._vectors_of = positions, vectors_of
        self.searched, self.background = len(scores.final), scores.similarities

    def best(self, count: int) -> list[Candidate]:
        """The best images, best first; equal scores in the order of the rows."""
        scores = self._scores.final
        chosen = best_positions(scores, count)
        positions = chosen if self._positions is None else self._positions[chosen]
        return candidates(self._rows.take(positions), scores[chosen], self._vectors_of(chosen))


def best_positions(scores: FloatArray, count: int) -> NDArray[np.int64]:
    """Positions of the highest scores, highest first; equal ones in order."""
    if count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        above = np.flatnonzero(scores > threshold)
        level = np.flatnonzero(scores == threshold)[: count - len(above)]
        chosen = np.sort(np.concatenate([above, level]))
    else:
        chosen = np.arange(len(scores))
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def candidates(table: pa.Table, scores: FloatArray, vectors: FloatArray) -> list[Candidate]:
    """Make candidates of n rows with their (n,) scores and (n, D) vectors, float32."""
    return [
        Candidate(
            row["id"],
            rows.decode_place(row["path"], row["path_bytes"]),
            float(score),
            Appearance(
                row["content_hash"],
                Signature(row["perceptual_hash"], row["colour_layout"]),
                vector,
                row["width"],
                row["height"],
            ),
            {name: value for name, value in row.items() if name not in NOT_METADATA},
        )
        for row, score, vector in zip(as_rows(table), scores, vectors, strict=True)
    ]


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as Python values, for which nanoseconds are too fine."""
    import pyarrow as pa

    index = table.column_names.index("modified")
    coarse = table["modified"].cast(pa.timestamp("us"), safe=False)
    rows_: list[dict[str, Any]] = table.set_column(index, "modified", coarse).to_pylist()
    return rows_


def by_date(candidates: list[Candidate], sort: SortOrder) -> list[Candidate]:
    """Sort images by when they were made; those of one time by their score."""
    if sort == "score":
        return candidates
    return sorted(candidates, key=_made_at, reverse=sort == "date")


def _made_at(candidate: Candidate) -> datetime:
    taken: datetime | None = candidate.metadata.get("taken_at")
    if taken is not None:
        return taken
    modified: datetime = candidate.metadata["modified"]
    return _on_the_wall(modified)


def _on_the_wall(moment: datetime) -> datetime:
    """A time in UTC without a zone, on this machine's clock."""
    try:
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
    except (OverflowError, OSError, ValueError):  # years that the system's clock does not know
        return moment
