"""One search, explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composir.compose import Composer
from composir.explain.effects import FIRST, ExplainSettings, PhraseEffect, PhraseTrial
from composir.explain.looks import Looks, look_at
from composir.types import SearchResult

if TYPE_CHECKING:
    from composir.gallery import Gallery
    from composir.gallery.reference import OpenedReference

_REFERENCE_SIDE = 480


@dataclass(frozen=True, slots=True)
class ShownReference:
    """A reference for pages.

    Attributes:
        jpeg: A small picture of it, of the part that was asked about.
        size: Width and height of that part, pixels.
        name: What to call it; empty where it came without a name.
    """

    jpeg: bytes
    size: tuple[int, int]
    name: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What readers of a search may want to know.

    Attributes:
        result: The search.
        settings: Of the composer.
        effects: What each phrase and each negative changed.
        looks: What the composer saw in the reference; nothing where there are several.
        references: Every reference of the query, as it was seen.
        thumbnails: JPEG of each hit that is shown, by the gallery's id.
    """

    result: SearchResult
    settings: Mapping[str, float | int | str]
    effects: tuple[PhraseEffect, ...]
    looks: Looks
    references: tuple[ShownReference, ...] = ()
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)


def explain_search(
    result: SearchResult,
    gallery: Gallery,
    composer: str | Composer | None = None,
    settings: ExplainSettings | None = None,
) -> Explanation:
    """Explain one answer by asking the gallery again without each phrase.

    Args:
        result: The answer.
        gallery: The gallery that gave it.
        composer: The one that was asked, by name or itself; None for the model's default.
        settings: Of that search.

    Returns:
        The explanation; it costs a search for each phrase and each negative.

    Raises:
        ComposirError: As `Gallery.search`.
    """
    composer = gallery.composer(composer)
    from composir.gallery.reference import open_references

    query = result.asked
    opened = open_references(query)
    trial = PhraseTrial(query, gallery, composer, settings or ExplainSettings())
    effects = trial.effects()
    return Explanation(
        result=result,
        settings=composer.settings,
        effects=effects,
        looks=look_at([one.rgb for one in opened], composer, gallery.model),
        references=tuple(_shown(one) for one in opened),
        thumbnails=gallery.thumbnails(_shown_ids(result, effects)),
    )


def _shown(reference: OpenedReference) -> ShownReference:
    from composir.gallery.reader import make_thumbnail

    jpeg = make_thumbnail(reference.rgb, _REFERENCE_SIDE)
    return ShownReference(jpeg, reference.rgb.size, reference.name)


def _shown_ids(result: SearchResult, effects: tuple[PhraseEffect, ...]) -> list[str]:
    hits = [*result.hits[:FIRST], *(move.hit for effect in effects for move in effect.moves)]
    hits += [hit for effect in effects for hit in effect.arrivals]
    return list(dict.fromkeys(hit.id for hit in hits))
