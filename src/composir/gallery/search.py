"""One query: compose, rank the gallery, leave out the reference, collapse duplicates, judge."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from PIL import Image

from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.data.files import absolute
from composir.errors import GalleryError, ImageReadError, QueryError
from composir.gallery.confidence import ConfidenceCalibration, judge
from composir.gallery.duplicates import Appearance, NearDuplicateRule, sign_picture
from composir.gallery.presence import Absentees
from composir.gallery.ranking import Candidate, Ranker
from composir.gallery.reader import LARGEST_FILE
from composir.gallery.rows import hash_content, image_id
from composir.images import read_image
from composir.model.base import EmbeddingModel
from composir.types import Absent, Hit, ImageInput, Query, SearchResult

_EXTRA_CANDIDATES = 50
_COMPARED_HITS = 256
_MOST_GONE = 4096  # so many deleted files before the hits: time to tidy up, not to look further


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference image of a query.

    Attributes:
        rgb: Its pixels.
        id: The gallery's id for its path; None where it came without one.
        appearance: What its duplicates look like too.
    """

    rgb: Image.Image
    id: str | None
    appearance: Appearance

    def is_shown_by(self, candidate: Candidate, rule: NearDuplicateRule) -> bool:
        """Whether a gallery image is the reference or a duplicate of it."""
        return candidate.id == self.id or rule.same(self.appearance, candidate.appearance)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to answer.

    Attributes:
        k: Number of hits.
        where: Filter, applied before the search.
        include_reference: Let the reference and its duplicates be hits.
        collapse_duplicates: Show one of several duplicates, with the paths of the others.
        rule: What near duplicates are.
        calibration: Of the confidence; None for the defaults.
        absentees: Looks for the files of hits; None to show hits whose files are gone too.
    """

    k: int = 10
    where: str | None = None
    include_reference: bool = False
    collapse_duplicates: bool = True
    rule: NearDuplicateRule = field(default_factory=NearDuplicateRule)
    calibration: ConfidenceCalibration | None = None
    absentees: Absentees | None = None

    def __post_init__(self) -> None:
        """Check k.

        Raises:
            QueryError: If k is below 1.
        """
        if self.k < 1:
            raise QueryError(f"k is {self.k}; ask for at least one hit")


def answer(
    query: Query,
    ranker: Ranker,
    model: EmbeddingModel,
    composer: Composer,
    settings: SearchSettings,
) -> SearchResult:
    """Answer one query.

    Args:
        query: The query.
        ranker: Over a gallery.
        model: The gallery's.
        composer: Makes the query vector.
        settings: How.

    Raises:
        QueryError: If the reference cannot be read or the composer needs what the query lacks.
        FilterError: If the filter is not understood.
        GalleryError: If the gallery is empty.
    """
    begun = time.perf_counter()
    if ranker.size == 0:
        raise GalleryError("the gallery is empty; fill it first: composir index FOLDER")
    reference = None if query.image is None else _read_reference(query.image, model)
    composed = composer.compose(_batch(query, reference))
    hidden = None if settings.include_reference else reference
    found = _Found(ranker, composed, settings, hidden)
    groups = found.groups()
    best = groups[0][0].score if groups else None
    return SearchResult(
        query=query,
        hits=tuple(
            _hit(rank, group, settings.absentees) for rank, group in enumerate(groups, start=1)
        ),
        confidence=judge(best, found.background, found.searched, settings.calibration),
        composer=composer.name,
        gallery_size=ranker.size,
        searched=found.searched,
        seconds=time.perf_counter() - begun,
        absent=found.absent(groups),
    )


def _read_reference(source: ImageInput, model: EmbeddingModel) -> Reference:
    path = Path(source) if isinstance(source, (str, os.PathLike)) else None
    try:
        data = source if path is None else _bytes_of(path)
        decoded = read_image(data)
    except OSError as error:
        raise QueryError(f"the reference {path} cannot be read: {error.strerror}") from error
    except ImageReadError as error:
        raise QueryError(f"the reference {path or 'image'} is no picture: {error}") from error
    appearance = Appearance(
        hash_content(data) if isinstance(data, bytes) else None,
        sign_picture(decoded.rgb),
        model.encode_images([decoded.rgb])[0],
        decoded.width,
        decoded.height,
    )
    own_id = None if path is None else image_id(absolute(path))
    return Reference(decoded.rgb, own_id, appearance)


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_FILE:
        raise QueryError(f"the reference {path} is larger than {LARGEST_FILE >> 20} MB")
    return path.read_bytes()


def _batch(query: Query, reference: Reference | None) -> QueryBatch:
    if reference is None:
        return QueryBatch((query.text,), negatives=(query.negatives,))
    return QueryBatch(
        (query.text,),
        image_vectors=reference.appearance.vector[None],
        images=(lambda: reference.rgb,),
        negatives=(query.negatives,),
    )


class _Found:
    """Candidates of one query, in growing windows until there are enough hits."""

    def __init__(
        self,
        ranker: Ranker,
        composed: ComposedQueries,
        settings: SearchSettings,
        hidden: Reference | None,
    ) -> None:
        self._settings, self._hidden = settings, hidden
        self._ranking = ranker.rank(composed, settings.where)
        self.background = self._ranking.background
        self._left_out = 0
        self._absentees = settings.absentees
        self._gone: list[Path] = []

    @property
    def searched(self) -> int:
        return self._ranking.searched - self._left_out

    def groups(self) -> list[list[Candidate]]:
        """At most k groups of duplicates, best first; the first of each stands for it."""
        k = self._settings.k
        window = 2 * k + _EXTRA_CANDIDATES
        while True:
            candidates = self._ranking.best(window)
            shown = [c for c in candidates if not self._is_hidden(c)]
            self._left_out = len(candidates) - len(shown)
            groups = self._collapsed(shown)
            if len(groups) >= k or len(candidates) < window or len(self._gone) >= _MOST_GONE:
                return groups
            window *= 4

    def absent(self, groups: list[list[Candidate]]) -> Absent:
        """What to tell of files that were not found on the way to the groups."""
        if self._absentees is None:
            return Absent()
        shown = [candidate.path for group in groups for candidate in group]
        return self._absentees.told(self._gone, shown)

    def _is_gone(self, candidate: Candidate) -> bool:
        if self._absentees is None or not self._absentees.is_gone(candidate.path):
            return False
        self._gone.append(candidate.path)
        return True

    def _is_hidden(self, candidate: Candidate) -> bool:
        return self._hidden is not None and self._hidden.is_shown_by(candidate, self._settings.rule)

    def _collapsed(self, candidates: list[Candidate]) -> list[list[Candidate]]:
        self._gone = []
        if not self._settings.collapse_duplicates:
            there = (candidate for candidate in candidates if not self._is_gone(candidate))
            return [[candidate] for candidate in islice(there, self._settings.k)]
        groups: list[list[Candidate]] = []
        by_content: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            content = candidate.appearance.content_hash or candidate.id
            group = by_content.get(content) or self._group_of(candidate, groups)
            if group is None and len(groups) == self._settings.k:
                continue
            if self._is_gone(candidate):
                continue
            if group is None:
                group = []
                groups.append(group)
            group.append(candidate)
            by_content[content] = group
        return groups

    def _group_of(
        self, candidate: Candidate, groups: list[list[Candidate]]
    ) -> list[Candidate] | None:
        """Near duplicates score alike, so only the groups just before are compared."""
        rule = self._settings.rule
        for group in reversed(groups[-_COMPARED_HITS:]):
            if rule.same(group[0].appearance, candidate.appearance):
                return group
        return None


def _hit(rank: int, group: list[Candidate], absentees: Absentees | None) -> Hit:
    first = group[0]
    return Hit(
        rank=rank,
        id=first.id,
        path=first.path,
        score=first.score,
        width=first.appearance.width,
        height=first.appearance.height,
        metadata=first.metadata,
        duplicates=tuple(candidate.path for candidate in group[1:]),
        unreachable=absentees is not None and absentees.is_unreachable(first.path),
    )
