"""An explanation as a page for people or a document for programs."""

from __future__ import annotations

import json
from pathlib import Path

from composir.data.outputs import PAGE, OutputKind, check_file, write_file
from composir.explain.attention import spread, strongest_place
from composir.explain.effects import FIRST, WINDOW, Move
from composir.explain.explanation import Explanation
from composir.explain.looks import Looks, TokenLook
from composir.pages.embedded import Pictures
from composir.pages.rendering import render

_ALL_POSITIONS = 0.98  # spread from which a map says "everywhere"
_DOCUMENT = OutputKind(
    "an explanation",
    (".html", ".htm", ".json"),
    (
        rb'\{\s*"format": "composir-explanation"',
        rb'\{\s*"version": 1,\s*"query": \{\s*"image": ',  # before they named their format
    ),
)


def check_explanation(destination: Path, option: str = "") -> None:
    """Refuse a file that may not be written, before anything is computed for it."""
    check_file(destination, _kind(destination), option)


def write_explanation(destination: Path, explanation: Explanation, option: str = "") -> Path:
    """Write an explanation in one go: a reader sees the old file or the new one, never half."""
    kind = _kind(destination)
    check_file(destination, kind, option)
    return write_file(destination, _content(explanation, kind), kind, option)


def explanation_page(explanation: Explanation) -> str:
    """Lay out a page."""
    pictures = _pictures(explanation)
    return render(
        "explanation.html",
        title=f"Why: {explanation.result.query.text.strip() or 'Pictures like this one'}",
        rules=pictures.rules(),
        explanation=explanation,
        pictures=pictures,
        first=FIRST,
        move_text=_move_text,
        tokens=[_token(look, explanation) for look in explanation.looks.tokens],
    )


def _kind(destination: Path) -> OutputKind:
    return PAGE if destination.suffix.lower() in PAGE.endings else _DOCUMENT


def _content(explanation: Explanation, kind: OutputKind) -> str:
    if kind is PAGE:
        return explanation_page(explanation)
    from composir.explain.document import as_document

    return json.dumps(as_document(explanation), indent=2, allow_nan=False) + "\n"


def _pictures(explanation: Explanation) -> Pictures:
    pictures = Pictures()
    for image_id, jpeg in explanation.thumbnails.items():
        pictures.add(f"hit {image_id}", jpeg)
    for number, reference in enumerate(explanation.references):
        pictures.add(f"reference {number}", reference.jpeg, size=reference.size)
    return pictures


def _move_text(move: Move) -> tuple[str, str]:
    """Where a hit goes without a phrase, and the class that colours it."""
    if move.rank is None:
        return f"{move.hit.rank} → >{WINDOW}", "down"
    if move.rank == move.hit.rank:
        return f"stays {move.rank}", "same"
    return f"{move.hit.rank} → {move.rank}", "down" if move.rank > move.hit.rank else "up"


def _token(look: TokenLook, explanation: Explanation) -> tuple[TokenLook, bytes | None, str]:
    """A pseudo-word with its heat map (PNG) and where it looked, in words."""
    looks: Looks = explanation.looks
    if look.attention is None or looks.spec is None:
        return look, None, ""
    from composir.pages.heat_map import heat_overlay

    share = spread(look.attention)
    place = f"{strongest_place(look.attention)}, {share:.0%} of the picture"
    if share > _ALL_POSITIONS:
        place = "everywhere alike"
    return look, heat_overlay(look.attention, explanation.references[0].size, looks.spec), place
