"""An explanation for programs."""

from __future__ import annotations

from typing import Any

from composir.documents import confidence_document, query_document, understood_document
from composir.explain.attention import spread, strongest_place
from composir.explain.effects import WINDOW, PhraseEffect
from composir.explain.explanation import Explanation
from composir.explain.looks import TokenLook
from composir.types import Hit

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
