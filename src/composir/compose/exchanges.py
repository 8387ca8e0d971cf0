"""What a text asks for, and what of a picture that replaces."""

from __future__ import annotations

import re
from dataclasses import dataclass

from composir.compose.lexicon import exchanged, packaged_lexicon
from composir.compose.negation_words import word_set

_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?P<new>.+?),? (?:instead of|rather than|in place of) (?P<old>.+)",
        r"(?:instead of|rather than|in place of) (?P<old>[^,]+), (?P<new>.+)",
        r"(?:please )?(?:replace|substitute|exchange) (?P<old>.+?) (?:with|by) (?P<new>.+)",
        r"(?:please )?swap (?P<old>.+?) for (?P<new>.+)",
        r"(?:please )?(?:change|turn|switch|convert|transform) (?:it )?(?:from )?(?P<old>.+?) "
        r"(?:to|into) (?P<new>.+)",
        r"from (?P<old>[\w -]+?) to (?P<new>[\w -]+)",
    )
)
_NAMES_NOTHING = word_set(
    "it this that them these those one here there the reference picture image photo photograph "
    "colour color style background everything all its whole thing view season material pattern "
    "the a an of to time day weather"
)
_ENDS = " \t.,;:!?"


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
    if named := read_instead(text):
        new, old = named
        return (Exchange(new, (old,), new, (old,)),)
    return tuple(
        Exchange(one.column.phrases[one.member], one.column.phrases, text, exchanged(text, one))
        for one in packaged_lexicon().find(text)
    )


def read_instead(text: str) -> tuple[str, str] | None:
    """What a text wants and what in its place, where it names both: "a cat instead of a dog".

    Returns:
        None where it does not, or names only what kind of thing changes ("change the colour to
        red", "turn it into a drawing").
    """
    words = " ".join(text.split()).strip(_ENDS)
    for form in _FORMS:
        match = form.fullmatch(words)
        if match:
            new, old = match["new"].strip(_ENDS), match["old"].strip(_ENDS)
            named = set(old.lower().split()) - _NAMES_NOTHING
            return (new, old) if named and new else None
    return None
