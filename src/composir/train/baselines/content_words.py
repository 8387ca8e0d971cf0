"""Which words of a caption carry its content: all but function words, found without a parser."""

from __future__ import annotations

import re

_FUNCTION_TEXT = (
    "a about above across after again against all along also although always am among an and "
    "another any are around as at away back be because been before behind being below beneath "
    "beside between beyond both but by can could did do does doing down during each either else "
    "ever every few for from get gets getting had has have having he her here hers him his how i "
    "if in inside into is it its itself just least less like many may me might more most much "
    "must my near next no nor not now of off on once one only onto or other our out outside over "
    "own past per photo picture image same several she should since so some something still such "
    "than that the their them then there these they this those through to together too toward "
    "towards under underneath until up upon us very was we were what when where which while who "
    "whose why will with within without would you your s t"
)
FUNCTION_WORDS = frozenset(_FUNCTION_TEXT.split())
_PIECE = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[^\w\s]|_")
GAP = None


def with_gaps(caption: str) -> list[str | None]:
    """Replace every run of content words by one gap.

    "a brown dog runs through the tall grass" becomes "a", gap, "through the", gap.
    """
    parts: list[str | None] = []
    for piece in _PIECE.findall(caption):
        stays = piece.lower() in FUNCTION_WORDS or not piece[0].isalnum()
        if not stays:
            parts += [GAP] if not parts or parts[-1] is not GAP else []
        elif parts and parts[-1] is not GAP:
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.append(piece)
    return parts
