"""One search, explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from composir.compose.base import Composer, QueryBatch
from composir.compose.spliced import SplicedComposer
from composir.documents import confidence_document, query_document, understood_document
from composir.explain.effects import FIRST, WINDOW, ExplainSettings, PhraseEffect, PhraseTrial
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.types import FloatArray, Hit, SearchResult

if TYPE_CHECKING:
    from composir.gallery import Gallery
    from composir.gallery.reference import OpenedReference


WORDS = 6


@dataclass(frozen=True, slots=True)
class TokenLook:
    """One pseudo-word of the sentence that stands for the reference.

    Attributes:
        norm: Its length; those of real words are alike, so one that is far off stands out.
        words: Words of the vocabulary whose embeddings are nearest, nearest first; `##` begins a
            piece of a word.
        attention: (h, w) float32, where it looked, 1 in sum; None where the composer does not tell.
    """

    norm: float
    words: tuple[str, ...]
    attention: FloatArray | None


@dataclass(frozen=True, slots=True)
class Looks:
    """The sentence of a reference, or why there is none.

    Attributes:
        tokens: Its pseudo-words, in order.
        note: What readers should know, e.g. that the composer has no tokens.
        spec: How the picture was laid out for the encoder that attended.
    """

    tokens: tuple[TokenLook, ...] = ()
    note: str = ""
    spec: PreprocessSpec | None = None


def look_at(references: Sequence[Image.Image], composer: Composer, model: EmbeddingModel) -> Looks:
    """Find out what a composer made of a reference."""
    if not references:
        return Looks(note="The query has no reference image, so there are no tokens of it.")
    if len(references) > 1:
        return Looks(
            note=f"The query is the average of {len(references)} references, each with tokens of "
            "its own; to see those, ask with one reference."
        )
    if not isinstance(composer, SplicedComposer):
        instead = "" if model.joint else " A trained composer does, e.g. --composer isa."
        return Looks(
            note=f"The composer {composer.name} works on whole vectors: it makes no tokens that "
            f"could be shown.{instead}"
        )
    opened: Callable[[], Image.Image] = lambda: references[0]  # noqa: E731
    batch = QueryBatch(("",), image_vectors=model.encode_images(references), images=(opened,))
    found = composer.tokens(batch)
    words = composer.model.texts.nearest_words(found.words[0], WORDS)
    maps = [None] * len(words) if found.attention is None else list(found.attention[0])
    tokens = tuple(
        TokenLook(float(np.linalg.norm(word)), tuple(near), attention)
        for word, near, attention in zip(found.words[0], words, maps, strict=True)
    )
    note = "" if found.attention is not None else "This composer does not tell where it looked."
    return Looks(tokens, note, composer.folder.manifest.preprocess or model.image_spec)


def strongest_place(attention: FloatArray) -> str:
    """Where an attention map is strongest, in words, e.g. `upper left`."""
    row, column = np.unravel_index(int(attention.argmax()), attention.shape)
    down = ("upper", "middle", "lower")[_third(int(row), attention.shape[0])]
    across = ("left", "centre", "right")[_third(int(column), attention.shape[1])]
    return "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"


def spread(attention: FloatArray) -> float:
    """Share of the picture that it looks at, 0 to 1: e to the entropy, over the positions."""
    shares = np.maximum(attention.ravel() / max(float(attention.sum()), 1e-12), 1e-12)
    return float(np.exp(-(shares * np.log(shares)).sum()) / shares.size)


def _third(index: int, count: int) -> int:
    return min(2, int(3 * (index + 0.5) / count))


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


FORMAT = "composir-explanation"
VERSION = 1


def as_document(explanation: Explanation) -> dict[str, Any]:
    """An explanation in types that JSON knows."""
    result = explanation.result
    return {
        "format": FORMAT,
        "version": VERSION,
        "query": query_document(result.query),
        "understood": understood_document(result),
        "notices": list(result.notices),
        "composer": {"name": result.composer, "settings": dict(explanation.settings)},
        "confidence": confidence_document(result.confidence),
        "hits": [{"rank": hit.rank, "score": hit.score, **_hit(hit)} for hit in result.hits],
        "phrases": [_effect(effect) for effect in explanation.effects],
        "ranks_known_up_to": WINDOW,
        "tokens": [_token(index, look) for index, look in enumerate(explanation.looks.tokens, 1)],
        "tokens_note": explanation.looks.note,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {"id": hit.id, "path": str(hit.path)}


def _effect(effect: PhraseEffect) -> dict[str, Any]:
    return {
        "phrase": effect.phrase,
        "negative": effect.negative,
        "rest": effect.rest,
        "skipped": effect.skipped,
        "cosine": effect.cosine,
        "moves": [
            {"rank": move.hit.rank, "rank_without": move.rank, **_hit(move.hit)}
            for move in effect.moves
        ],
        "arrivals": [{"rank_without": hit.rank, **_hit(hit)} for hit in effect.arrivals],
    }


def _token(number: int, look: TokenLook) -> dict[str, Any]:
    document: dict[str, Any] = {
        "token": number,
        "norm": look.norm,
        "nearest_words": list(look.words),
        "attention": None,
    }
    if look.attention is not None:
        document["attention"] = look.attention.tolist()
        document["strongest"] = strongest_place(look.attention)
        document["spread"] = spread(look.attention)
    return document
