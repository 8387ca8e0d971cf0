"""A modification text as phrases that can be left out one at a time.

The rule, simple on purpose: a phrase ends at a comma, semicolon or full stop, and before a word
that joins or places things (`and`, `but`, `with`, `without`, `instead`, `in`, `on`, `at`, ...).
Such words in a row stay together, so "and in front" is one phrase. It knows English words only; a
text of another language is split at its commas.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_JOINING = frozenset({"and", "but", "or", "plus"})
_PLACING = frozenset(
    {"about", "above", "across", "after", "against", "along", "among", "around", "at", "before"}
    | {"behind", "below", "beneath", "beside", "between", "by", "during", "for", "from", "in"}
    | {"inside", "instead", "into", "near", "next", "off", "on", "onto", "outside", "over"}
    | {"through", "toward", "towards", "under", "wearing", "while", "with", "within", "without"}
)
_ENDS = (",", ";", ".", "，", "、", "。", "；")
_UNSPACED = re.compile("(?<=[，、。；])")  # writing that leaves no space after its commas


def split_phrases(text: str) -> tuple[str, ...]:
    """Split a modification text."""
    phrases: list[list[str]] = []
    for word in _UNSPACED.sub(" ", text).split():
        if not phrases or _begins(word, phrases[-1]):
            phrases.append([])
        phrases[-1].append(word)
    return tuple(" ".join(words) for words in phrases)


def without(phrases: Sequence[str], left_out: int) -> str:
    """The text without one phrase."""
    rest = [phrase for index, phrase in enumerate(phrases) if index != left_out]
    words = " ".join(rest).split()
    while words and _bare(words[0]) in _JOINING:
        words = words[1:]
    return " ".join(words).rstrip(",;，、 ")


def shown(phrase: str) -> str:
    """A phrase for people: without the punctuation at its end."""
    return phrase.rstrip(",;.，、。 ") or phrase


def _begins(word: str, before: Sequence[str]) -> bool:
    if before[-1].endswith(_ENDS):
        return True
    opens = _bare(word) in _JOINING | _PLACING
    return opens and any(_bare(other) not in _JOINING | _PLACING for other in before)


def _bare(word: str) -> str:
    return word.strip(",;.!?").lower()
