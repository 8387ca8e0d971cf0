"""One search, explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composir.compose import Composer, load_composer
from composir.explain.effects import FIRST, ExplainSettings, PhraseEffect, PhraseTrial
from composir.explain.looks import Looks, look_at
from composir.types import ImageInput, SearchResult

if TYPE_CHECKING:
    from PIL import Image

    from composir.gallery import Gallery

_REFERENCE_SIDE = 480


@dataclass(frozen=True, slots=True)
class Explanation:
    """What readers of a search may want to know.

    Attributes:
        result: The search.
        settings: Of the composer.
        effects: What each phrase and each negative changed.
        looks: What the composer saw in the reference.
        reference: JPEG of the reference, if the query has one.
        reference_size: Its width and height as it was seen, pixels.
        thumbnails: JPEG of each hit that is shown, by the gallery's id.
    """

    result: SearchResult
    settings: Mapping[str, float | int | str]
    effects: tuple[PhraseEffect, ...]
    looks: Looks
    reference: bytes | None = None
    reference_size: tuple[int, int] = (0, 0)
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
    if composer is None or isinstance(composer, str):
        composer = load_composer(composer, gallery.model)
    query = result.query
    rgb = None if query.image is None else _open(query.image)
    trial = PhraseTrial(query, gallery, composer, settings or ExplainSettings())
    effects = trial.effects()
    return Explanation(
        result=result,
        settings=composer.settings,
        effects=effects,
        looks=look_at(rgb, composer, gallery.model),
        reference=None if rgb is None else _jpeg(rgb),
        reference_size=(0, 0) if rgb is None else rgb.size,
        thumbnails=gallery.thumbnails(_shown_ids(result, effects)),
    )


def _open(image: ImageInput) -> Image.Image:
    from composir.images import read_image

    return read_image(image).rgb


def _jpeg(rgb: Image.Image) -> bytes:
    from composir.gallery.thumbnails import make_thumbnail

    return make_thumbnail(rgb, _REFERENCE_SIDE)


def _shown_ids(result: SearchResult, effects: tuple[PhraseEffect, ...]) -> list[str]:
    hits = [*result.hits[:FIRST], *(move.hit for effect in effects for move in effect.moves)]
    hits += [hit for effect in effects for hit in effect.arrivals]
    return list(dict.fromkeys(hit.id for hit in hits))
