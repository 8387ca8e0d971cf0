"""One query: compose, rank the gallery, leave out the reference, collapse duplicates, judge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Traits
from composir.compose.understand import understand
from composir.errors import GalleryError, QueryError
from composir.gallery.confidence import ConfidenceCalibration, judge
from composir.gallery.duplicates import NearDuplicateRule
from composir.gallery.presence import Absentees
from composir.gallery.ranking import Candidate, Ranker
from composir.gallery.reference import Reference, encoded_references
from composir.model.base import EmbeddingModel
from composir.types import Absent, Hit, Query, SearchResult

_EXTRA_CANDIDATES = 50
_COMPARED_HITS = 256
_SHOWN_WORDS = 60
_MOST_GONE = 4096  # so many deleted files before the hits: time to tidy up, not to look further


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
            QueryError: If k is no whole number, or below 1.
        """
        if not isinstance(self.k, Integral) or isinstance(self.k, bool):
            raise QueryError(f"k is {self.k!r}; ask for a whole number of hits")
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
        QueryError: If a reference cannot be read or the composer needs what the query lacks.
        FilterError: If the filter is not understood.
        GalleryError: If the gallery is empty.
    """
    begun = time.perf_counter()
    understood, notices = understand(query)
    if ranker.size == 0:
        raise GalleryError("the gallery is empty; fill it first: composir index FOLDER")
    references = encoded_references(query, model)
    composed = composer.compose(_batch(understood, references)).averaged()
    beside_image = query.image is not None or query.from_device
    cut = _cut_notices(understood.text, model, composer.traits if beside_image else Traits())
    hidden = () if settings.include_reference else references
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
        understood=understood,
        notices=(*notices, *cut),
    )


def _cut_notices(text: str, model: EmbeddingModel, traits: Traits) -> tuple[str, ...]:
    """What of a text is beyond what the text encoder reads."""
    lost = (traits.unread or model.unread)(text) if text else ""
    if not lost:
        return ()
    shown = lost if len(lost) <= _SHOWN_WORDS else f"{lost[: _SHOWN_WORDS - 1]}…"
    return (f"the words are more than {model.name} reads, {shown!r} was left out: use fewer",)


def _batch(query: Query, references: Sequence[Reference]) -> QueryBatch:
    """One row for each reference; one in all where there is none."""
    count = max(len(references), 1)
    texts, negatives = (query.text,) * count, (query.negatives,) * count
    if not references:
        return QueryBatch(texts, negatives=negatives)
    return QueryBatch(
        texts,
        image_vectors=np.stack([reference.vector for reference in references]),
        images=[partial(_rgb, reference) for reference in references],
        negatives=negatives,
    )


def _rgb(reference: Reference) -> Image.Image:
    return reference.rgb


class _Found:
    """Candidates of one query, in growing windows until there are enough hits."""

    def __init__(
        self,
        ranker: Ranker,
        composed: ComposedQueries,
        settings: SearchSettings,
        hidden: Sequence[Reference],
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
        rule = self._settings.rule
        return any(reference.is_shown_by(candidate, rule) for reference in self._hidden)

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
