"""What a text asks for, and what of a picture that replaces."""

from __future__ import annotations

from dataclasses import dataclass

from composir.compose.instead import read_instead
from composir.compose.lexicon import exchanged, packaged_lexicon


@dataclass(frozen=True, slots=True)
class Exchange:
    """One thing that changes, in short phrases and in the text as a whole.

    Attributes:
        wanted: What is asked for, e.g. `red`.
        shown: What the picture may show now, e.g. `blue`, `green`, `red`.
        text: The text, without what it names as replaced, e.g. `a red shirt`.
        texts: The same with what the picture may show now, e.g. `a blue shirt`.
    """

    wanted: str
    shown: tuple[str, ...]
    text: str
    texts: tuple[str, ...]


def read_exchanges(text: str) -> tuple[Exchange, ...]:
    """What a text replaces: what it names itself, else what the lexicon knows of its words."""
    instead = read_instead(text)
    if instead:
        return (Exchange(instead.new, (instead.old,), instead.new, (instead.old,)),)
    return tuple(
        Exchange(one.column.phrases[one.member], one.column.phrases, text, exchanged(text, one))
        for one in packaged_lexicon().find(text)
    )
