"""Texts that name what they replace: "a cat instead of a dog", "change the dog to a cat"."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
class Instead:
    """What a text wants in place of what.

    Attributes:
        new: What is wanted, e.g. `a cat`.
        old: What it replaces, e.g. `a dog`.
    """

    new: str
    old: str


def read_instead(text: str) -> Instead | None:
    """Read what a text replaces by what, where it names both.

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
            return Instead(new, old) if named and new else None
    return None
