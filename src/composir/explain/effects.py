"""What each phrase changed: the query composed without it, and the ranking that this gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Wrapper
from composir.errors import QueryError
from composir.explain.phrases import shown, split_phrases, without
from composir.gallery import Gallery
from composir.types import Hit, Missing, Query, SearchResult

FIRST = 10
WINDOW = 200


@dataclass(frozen=True, slots=True)
class ExplainSettings:
    """How the search that is explained was asked, beside its query.

    Attributes:
        where: Filter.
        include_reference: Whether the reference may be a hit.
        collapse_duplicates: Whether duplicates are shown as one.
        missing: What becomes of hits whose files are gone; as `Gallery.search`.
    """

    where: str | None = None
    include_reference: bool = False
    collapse_duplicates: bool = True
    missing: Missing = "hide"


@dataclass(frozen=True, slots=True)
class Move:
    """Where a hit goes without a phrase.

    Attributes:
        hit: One of the first hits of the whole query.
        rank: Its rank without the phrase; None beyond the first `WINDOW`.
    """

    hit: Hit
    rank: int | None


@dataclass(frozen=True, slots=True)
class PhraseEffect:
    """What leaving out one phrase does.

    Attributes:
        phrase: What is left out.
        negative: Whether it is a negative text.
        rest: The modification that remains.
        cosine: Between the query vectors with and without it: 1 means that it changed nothing. None
            where they cannot be compared, and of negatives, which act on pictures instead.
        moves: The first hits of the whole query and where they go, best first.
        arrivals: Hits that come among the first without the phrase.
        skipped: Why it could not be left out, if so.
    """

    phrase: str
    negative: bool
    rest: str
    cosine: float | None = None
    moves: tuple[Move, ...] = ()
    arrivals: tuple[Hit, ...] = ()
    skipped: str = ""

    @property
    def moved(self) -> int:
        """How many of the first hits change their rank."""
        return sum(move.rank != move.hit.rank for move in self.moves)

    @property
    def kept(self) -> int:
        """How many of the first hits are still among the first."""
        return sum(move.rank is not None and move.rank <= len(self.moves) for move in self.moves)


@dataclass(frozen=True, slots=True)
class Watched(Wrapper[Composer]):
    """A composer that remembers the queries it made."""

    made: list[ComposedQueries] = field(default_factory=list)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose as the composer does."""
        self.made.append(self.composer.compose(batch))
        return self.made[-1]


class PhraseTrial:
    """Leaves out phrases of one query, one at a time."""

    def __init__(
        self, query: Query, gallery: Gallery, composer: Composer, settings: ExplainSettings
    ) -> None:
        """Ask the whole query once, for comparison."""
        query = replace(query, literal=True)  # its phrases are not to be read again
        self._query, self._gallery, self._settings = query, gallery, settings
        self._composer = Watched(composer)
        self._whole = self._ask(query)
        self._composed = self._composer.made[-1]

    def effects(self) -> tuple[PhraseEffect, ...]:
        """What each phrase and each negative changed, in order."""
        return tuple(self._effect(effect, query) for effect, query in self._variations())

    def _variations(self) -> Iterator[tuple[PhraseEffect, Query | None]]:
        query = self._query
        phrases = split_phrases(query.text)
        for index, phrase in enumerate(phrases):
            rest = without(phrases, index)
            possible = bool(rest) or query.image is not None
            yield (
                PhraseEffect(shown(phrase), negative=False, rest=rest),
                replace(query, text=rest) if possible else None,
            )
        for index, phrase in enumerate(query.negatives):
            kept = query.negatives[:index] + query.negatives[index + 1 :]
            yield (
                PhraseEffect(phrase, negative=True, rest=query.text),
                replace(query, negatives=kept),
            )

    def _effect(self, effect: PhraseEffect, query: Query | None) -> PhraseEffect:
        if query is None:
            return replace(effect, skipped="it is all there is to the query")
        try:
            result = self._ask(query)
        except QueryError as error:  # e.g. a composer of words alone that has none left
            return replace(effect, skipped=str(error))
        first = self._whole.hits[:FIRST]
        known = {hit.id for hit in first}
        return replace(
            effect,
            cosine=None if effect.negative else _cosine(self._composed, self._composer.made[-1]),
            moves=tuple(Move(hit, _rank_of(hit, result)) for hit in first),
            arrivals=tuple(hit for hit in result.hits[:FIRST] if hit.id not in known),
        )

    def _ask(self, query: Query) -> SearchResult:
        return self._gallery.search(
            query, k=WINDOW, composer=self._composer, **asdict(self._settings)
        )


def _rank_of(hit: Hit, result: SearchResult) -> int | None:
    for other in result.hits:
        if other.id == hit.id or hit.path in other.duplicates:
            return other.rank
    return None


def _cosine(one: ComposedQueries, other: ComposedQueries) -> float | None:
    """Mean cosine of the vectors of two composed queries, where they have as many."""
    if one.vectors.shape != other.vectors.shape:
        return None
    return float((one.vectors * other.vectors).sum(axis=-1).mean())
