"""One query: compose, rank the gallery, leave out the reference, collapse duplicates, judge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Traits
from composir.compose.understand import understand
from composir.errors import EmptyGalleryError, QueryError
from composir.gallery.confidence import ConfidenceCalibration
from composir.gallery.duplicates import NearDuplicateRule
from composir.gallery.opinion import FIRST, Opinion, compose_words
from composir.gallery.presence import Absentees
from composir.gallery.ranking import MOST_DATED, Candidate, Ranker, by_date
from composir.gallery.reference import EncodedReference, encoded_references
from composir.model.base import EmbeddingModel
from composir.types import Absent, Confidence, Hit, Query, Reranked, SearchResult, SortOrder

if TYPE_CHECKING:
    from composir.gallery.rerank import Reranker

_EXTRA_CANDIDATES = 50
_COMPARED_HITS = 256
_SHOWN_WORDS = 60
_MOST_GONE = 4096  # so many deleted files before the hits: time to tidy up, not to look further


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to answer."""

    k: int = 10  # number of hits
    where: str | None = None  # filter, applied before the search
    include_reference: bool = False  # let the reference and its duplicates be hits
    collapse_duplicates: bool = True  # show one of several duplicates, with the paths of the others
    calibration: ConfidenceCalibration | None = None  # of the confidence; None for the model's
    # Looks for the files of hits; None to show hits whose files are gone too.
    absentees: Absentees | None = None
    sort: SortOrder = "score"  # order of the hits; by date, only relevant ones are hits
    # Below it the result says that nothing matches; None for nowhere.
    min_confidence: float | None = None
    reranker: Reranker | None = None  # orders the first hits anew; None to leave them

    def __post_init__(self) -> None:
        if not isinstance(self.k, Integral) or isinstance(self.k, bool):
            raise QueryError(f"k is {self.k!r}; ask for a whole number of hits")
        if self.k < 1:
            raise QueryError(f"k is {self.k}; ask for at least one hit")
        if self.sort not in get_args(SortOrder):
            orders = ", ".join(get_args(SortOrder))
            raise QueryError(f"sort is {self.sort!r}; it can be: {orders}")
        if self.min_confidence is not None and not _is_share(self.min_confidence):
            raise QueryError(f"min_confidence is {self.min_confidence!r}; it goes from 0 to 1")
        if self.reranker is not None and self.sort != "score":
            raise QueryError(f"hits are re-ranked by score, and {self.sort} orders them otherwise")

    @property
    def reach(self) -> int:
        """How many hits are needed to choose k of them."""
        return self.k if self.reranker is None else max(self.k, self.reranker.top)


def _is_share(number: object) -> bool:
    return isinstance(number, Real) and not isinstance(number, bool) and 0.0 <= float(number) <= 1.0


def answer(
    query: Query,
    ranker: Ranker,
    model: EmbeddingModel,
    composer: Composer,
    settings: SearchSettings,
) -> SearchResult:
    """Answer one query."""
    begun = time.perf_counter()
    if ranker.size == 0:
        raise EmptyGalleryError("the gallery is empty; fill it first: composir index FOLDER")
    understood, notices = understand(query)
    seen_later = [] if settings.reranker is None else [settings.reranker.model.image_spec]
    references = encoded_references(query, model, composer, *seen_later)
    if references or query.from_device:
        composed, framed = _composed(understood, references, composer), None
    else:
        composed, framed = compose_words(understood, composer, model, settings.calibration)
    beside_image = query.image is not None or query.from_device
    cut = _cut_notices(understood.text, model, composer.traits if beside_image else Traits())
    hidden = () if settings.include_reference else references
    opinion = Opinion(understood, composed, framed, composer.name, model, settings.calibration)
    rule = NearDuplicateRule(model.copy_similarity)
    found = _Found(ranker, composed, settings, hidden, opinion, rule)
    groups, reranked = found.groups(), None
    if settings.reranker is not None:
        images = [reference.rgb for reference in references]
        groups, reranked = settings.reranker.order(groups, understood, images)
        groups = groups[: settings.k]
    return SearchResult(
        query=query,
        hits=tuple(
            _hit(rank, group, settings.absentees) for rank, group in enumerate(groups, start=1)
        ),
        confidence=found.confidence(references),
        composer=composer.name,
        gallery_size=ranker.size,
        searched=found.searched,
        seconds=time.perf_counter() - begun,
        absent=found.absent(groups),
        understood=understood,
        notices=(*notices, *cut, *_thumbnail_notices(reranked)),
        sort=settings.sort,
        relevant=found.relevant,
        min_confidence=settings.min_confidence,
        reranked=reranked,
    )


def composed_query(query: Query, model: EmbeddingModel, composer: Composer) -> ComposedQueries:
    """The composed query alone, as `answer` ranks by it."""
    understood, _ = understand(query)
    return _composed(understood, encoded_references(query, model, composer), composer)


def _composed(
    query: Query, references: Sequence[EncodedReference], composer: Composer
) -> ComposedQueries:
    return composer.compose(_batch(query, references)).averaged()


def _cut_notices(text: str, model: EmbeddingModel, traits: Traits) -> tuple[str, ...]:
    """What of a text is beyond what the text encoder reads."""
    lost = (traits.unread or model.unread)(text) if text else ""
    if not lost:
        return ()
    shown = lost if len(lost) <= _SHOWN_WORDS else f"{lost[: _SHOWN_WORDS - 1]}…"
    return (f"the words are more than {model.name} reads, {shown!r} was left out: use fewer",)


def _thumbnail_notices(reranked: Reranked | None) -> tuple[str, ...]:
    """That the joint encoder did not see all pictures as they are."""
    if reranked is None or not reranked.thumbnails:
        return ()
    return (
        f"{reranked.thumbnails:,} of {reranked.images:,} hits were re-ranked by their thumbnails: "
        "their files are gone, have changed, or cannot be read",
    )


def _batch(query: Query, references: Sequence[EncodedReference]) -> QueryBatch:
    """One row for each reference; one in all where there is none."""
    count = max(len(references), 1)
    texts, negatives = (query.text,) * count, (query.negatives,) * count
    if not references:
        return QueryBatch(texts, negatives=negatives)
    vectors = [one.vector for one in references if one.vector is not None]
    pixels = [one.pixels for one in references if one.pixels is not None]
    return QueryBatch(
        texts,
        image_vectors=np.stack(vectors) if vectors else None,
        images=[partial(_rgb, reference) for reference in references],
        negatives=negatives,
        pixels=np.stack(pixels) if pixels else None,
    )


def _rgb(reference: EncodedReference) -> Image.Image:
    return reference.rgb


class _Found:
    """Candidates of one query, in growing windows until there are enough hits."""

    def __init__(
        self,
        ranker: Ranker,
        composed: ComposedQueries,
        settings: SearchSettings,
        hidden: Sequence[EncodedReference],
        opinion: Opinion,
        rule: NearDuplicateRule,
    ) -> None:
        self._settings, self._hidden, self._opinion = settings, hidden, opinion
        self._rule = rule
        self._ranking = ranker.rank(composed, settings.where)
        self._shown: list[Candidate] = []
        self.relevant: int | None = None
        self._left_out = 0
        self._absentees = settings.absentees
        self._gone: list[Path] = []

    @property
    def searched(self) -> int:
        return self._ranking.searched - self._left_out

    def groups(self) -> list[list[Candidate]]:
        """At most k groups of duplicates in order; the first of each stands for it."""
        if self._settings.sort != "score":
            return self._dated_groups()
        return self._best_groups()

    def confidence(self, references: Sequence[EncodedReference]) -> Confidence:
        """How far to trust the best of what `groups` went through, whatever k and the order."""
        judge = self._opinion.judge(self._ranking.background, self.searched)
        gone = set(self._gone)
        there = (candidate for candidate in self._shown if candidate.path not in gone)
        first = list(islice(there, FIRST))
        return self._opinion.of(judge, first, references, self._rule)

    def _dated_groups(self) -> list[list[Candidate]]:
        self._look_through(self._ranking.best(MOST_DATED))
        judge = self._opinion.judge(self._ranking.background, self.searched)
        relevant = [c for c in self._shown if judge.is_relevant(self._opinion.score(c))]
        self.relevant = len(relevant)
        return self._collapsed(by_date(relevant, self._settings.sort))

    def _best_groups(self) -> list[list[Candidate]]:
        k = self._settings.reach
        window = 2 * k + _EXTRA_CANDIDATES
        while True:
            candidates = self._ranking.best(window)
            self._look_through(candidates)
            groups = self._collapsed(self._shown)
            if len(groups) >= k or len(candidates) < window or len(self._gone) >= _MOST_GONE:
                return groups
            window *= 4

    def absent(self, groups: list[list[Candidate]]) -> Absent:
        """What to tell of files that were not found on the way to the groups."""
        if self._absentees is None:
            return Absent()
        shown = [candidate.path for group in groups for candidate in group]
        return self._absentees.told(self._gone, shown)

    def _look_through(self, candidates: list[Candidate]) -> None:
        self._shown = [
            candidate
            for candidate in candidates
            if not any(one.is_shown_by(candidate, self._rule) for one in self._hidden)
        ]
        self._left_out = len(candidates) - len(self._shown)

    def _is_gone(self, candidate: Candidate) -> bool:
        if self._absentees is None or not self._absentees.is_gone(candidate.path):
            return False
        self._gone.append(candidate.path)
        return True

    def _collapsed(self, candidates: list[Candidate]) -> list[list[Candidate]]:
        self._gone = []
        if not self._settings.collapse_duplicates:
            there = (candidate for candidate in candidates if not self._is_gone(candidate))
            return [[candidate] for candidate in islice(there, self._settings.reach)]
        groups: list[list[Candidate]] = []
        by_content: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            content = candidate.appearance.content_hash or candidate.id
            group = by_content.get(content) or self._group_of(candidate, groups)
            if group is None and len(groups) == self._settings.reach:
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
        for group in reversed(groups[-_COMPARED_HITS:]):
            if self._rule.same(group[0].appearance, candidate.appearance):
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
