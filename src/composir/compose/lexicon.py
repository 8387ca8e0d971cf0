"""What words replace: groups of phrases of which a picture shows one or so, and finding them.

The groups are data, `lexicon.txt`, which says how it is written. A phrase that is found in a text
can be exchanged in place for the others of its group: where "a red shirt" is asked for, "a blue
shirt" may be what the picture shows now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from composir.compose.negation_tokens import Tokens
from composir.compose.negation_words import word_set

ARTICLES = frozenset({"a", "an", "the"})
_PREPOSITIONS = word_set("in on at by under with for of near into onto against during")
_LOCATING = word_set("in on at by near into onto during")
_BEFORE_A_SENSE = word_set(
    "of in from is are was were be being become becomes it them this and or more very all bright "
    "dark light coloured colored"
)
_NO_NOUN = word_set(
    "of in on at by from with without for and or but to as that which is are was were near under "
    "over instead than it"
)
_NOWHERE = "-"
_GUARDED = "~"
_LONGEST = 6

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PhraseColumn:
    """Phrases that may stand in each other's place.

    Attributes:
        group: What they tell about a picture, e.g. `colour`.
        phrases: The one that stands for each member of the group.
        prepositions: Those that a phrase may begin with; none where phrases begin otherwise.
    """

    group: str
    phrases: tuple[str, ...]
    prepositions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A phrase of the lexicon in a text.

    Attributes:
        column: Where it belongs.
        member: Which of the column's phrases it stands for.
        start: Number of its first token.
        stop: After its last.
    """

    column: PhraseColumn
    member: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Entry:
    column: PhraseColumn | None  # None: words that are meant otherwise
    member: int
    guarded: bool


class Lexicon:
    """Groups of phrases.

    Attributes:
        columns: All of them, in the order of the file.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        """Read a lexicon; `lexicon.txt` says how it is written."""
        self.columns: tuple[PhraseColumn, ...] = ()
        self._entries: dict[Words, list[_Entry]] = {}
        group, members = "", list[list[list[str]]]()
        for line in (line.strip() for line in lines):
            if line.startswith("!"):
                self._leave_alone(line[1:])
            elif line.startswith("["):
                self._add(group, members)
                group, members = line.strip("[]"), []
            elif line and not line.startswith("#"):
                members.append([_listed(column) for column in line.split("|")])
        self._add(group, members)

    def find(self, text: str) -> tuple[Found, ...]:
        """Phrases of the lexicon in a text, from left to right; the longest where several begin."""
        tokens = Tokens(text)
        found: list[Found] = []
        position = 0
        while position < len(tokens):
            phrase, position = self._at(tokens, position, found[-1].stop if found else 0)
            found += [phrase] if phrase else []
        return tuple(found)

    def _leave_alone(self, line: str) -> None:
        for phrase in _listed(line):
            self._entries.setdefault(_words(phrase), []).append(_Entry(None, 0, False))

    def _add(self, group: str, members: Sequence[Sequence[Sequence[str]]]) -> None:
        for place in range(max(map(len, members), default=0)):
            self._add_column(group, [m[place] for m in members if len(m) > place and m[place]])

    def _add_column(self, group: str, members: Sequence[Sequence[str]]) -> None:
        phrases = tuple(forms[0].strip(_GUARDED) for forms in members)
        first = {phrase.split()[0] for phrase in phrases}
        prepositions = frozenset(first & _PREPOSITIONS)
        if prepositions & _LOCATING:
            prepositions |= _LOCATING
        column = PhraseColumn(group, phrases, prepositions)
        self.columns += (column,)
        for number, forms in enumerate(members):
            for form in forms:
                entry = _Entry(column, number, form.endswith(_GUARDED))
                self._entries.setdefault(_words(form.strip(_GUARDED)), []).append(entry)

    def _at(self, tokens: Tokens, position: int, free: int) -> tuple[Found | None, int]:
        """The phrase that begins here, and where to go on; tokens before `free` are taken."""
        for words, stop in sorted(_runs(tokens, position), key=lambda run: -run[1]):
            for entry in self._entries.get(words, ()):
                if entry.column is None:
                    return None, stop
                start = _beginning(tokens, position, free, entry.column)
                if start is not None and not (entry.guarded and _a_thing(tokens, position, stop)):
                    return Found(entry.column, entry.member, start, stop), stop
        return None, position + 1


def exchanged(text: str, found: Found) -> tuple[str, ...]:
    """A text with a phrase exchanged for each of its column, its own included."""
    written = text.split()
    before, after = written[: found.start], written[found.stop :]
    last = written[found.stop - 1]
    closing = last[len(last.rstrip(",;:.!?")) :]
    has_article = bool(before) and before[-1].lower() in ARTICLES
    return tuple(
        " ".join([*_fitting(before, phrase), _bare(phrase, has_article) + closing, *after])
        for phrase in found.column.phrases
    )


@cache
def packaged_lexicon() -> Lexicon:
    """The lexicon that comes with composir."""
    text = (files("composir.compose") / "lexicon.txt").read_text(encoding="utf-8")
    return Lexicon(text.splitlines())


def _listed(text: str) -> list[str]:
    parts = (part.strip() for part in text.split(","))
    return [part for part in parts if part and part != _NOWHERE]


def _words(phrase: str) -> Words:
    split = re.sub(r"(?<=\w)-(?=\w)", " ", phrase.lower()).split()
    return tuple(word.strip("'") for word in split if word not in ARTICLES)


def _runs(tokens: Tokens, position: int) -> Iterator[tuple[Words, int]]:
    """Words that begin at a position, up to the end of the clause, and where they stop."""
    if tokens.word(position) in ARTICLES or tokens[position].quoted:
        return
    taken: list[str] = []
    for stop in range(position, len(tokens)):
        taken += _words(tokens.word(stop))
        if len(taken) > _LONGEST:
            return
        if tokens.word(stop) not in ARTICLES:
            yield tuple(taken), stop + 1
        if tokens.closes(stop):
            return


def _beginning(tokens: Tokens, position: int, free: int, column: PhraseColumn) -> int | None:
    """Where a phrase begins, with its preposition; None where it lacks one that it needs."""
    if not column.prepositions or tokens.word(position) in _PREPOSITIONS:
        return position
    start = position
    while start > free and tokens.word(start - 1) in ARTICLES:
        start -= 1
    if start > free and tokens.word(start - 1) in column.prepositions:
        return start - 1
    return start if start == 0 or tokens.closes(start - 1) else None


def _a_thing(tokens: Tokens, position: int, stop: int) -> bool:
    """Whether a word that may be a thing or a property is the thing here: "an orange"."""
    before, after = tokens.word(position - 1), tokens.word(stop)
    if len(tokens) == stop - position or before in _BEFORE_A_SENSE:
        return False
    return tokens.closes(stop - 1) or not after or after in _NO_NOUN


def _fitting(before: Sequence[str], phrase: str) -> Sequence[str]:
    """The words before a phrase, with "a" or "an" as it begins."""
    if not before or before[-1].lower() not in {"a", "an"}:
        return before
    word = _bare(phrase, True)
    return [*before[:-1], "an" if word[:1].lower() in "aeiou" else "a"]


def _bare(phrase: str, has_article: bool) -> str:
    first, _, rest = phrase.partition(" ")
    return rest if has_article and first in ARTICLES and rest else phrase
