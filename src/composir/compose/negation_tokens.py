"""A text as the words that the grammar of negation looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Phrases = frozenset[tuple[str, ...]]

_PUNCTUATION = ",;:.!?()[]{}\"“”„'‘’…"
_CLOSING = re.compile(r"[,;:.!?)\]…][\"”'’]*$")
_QUOTED = re.compile(r"[\"“„][^\"“”„]*[\"”]|(?<!\w)['‘][^'‘’]*['’](?!\w)")
_DASHES = frozenset({"-", "–", "—", "--", "|", "/"})
_LONGEST = 6


@dataclass(frozen=True, slots=True)
class Token:
    """One written word.

    Attributes:
        text: As written.
        word: In lower case, without the punctuation around it; empty for a dash.
        closes: Whether punctuation after it ends a clause.
        quoted: Whether it stands in quotation marks.
    """

    text: str
    word: str
    closes: bool
    quoted: bool


def bare(text: str) -> str:
    """A written word in lower case, without the punctuation around it."""
    word = text.lower().replace("’", "'").strip(_PUNCTUATION)
    return "and" if word == "&" else "" if word in _DASHES else word


class Tokens:
    """The words of one text, by position; positions beyond the end hold an empty word."""

    def __init__(self, text: str) -> None:
        """Split a text at white space."""
        self._tokens = tuple(_split(text))

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self._tokens)

    def __getitem__(self, position: int) -> Token:
        """The token at a position."""
        return self._tokens[position]

    def word(self, position: int) -> str:
        """The bare word at a position; empty outside of the text."""
        return self._tokens[position].word if 0 <= position < len(self) else ""

    def words(self, begin: int, end: int) -> list[str]:
        """Bare words from `begin` to before `end`."""
        return [token.word for token in self._tokens[max(begin, 0) : end]]

    def closes(self, position: int) -> bool:
        """Whether a clause ends after this position; also before the text and after it."""
        return not 0 <= position < len(self) or self._tokens[position].closes

    def match(self, position: int, table: Phrases) -> int:
        """Length of the longest entry of a table that stands here, not interrupted; 0 for none."""
        most = 0
        for length in range(1, min(_LONGEST, len(self) - position) + 1):
            if self._tokens[position + length - 1].quoted:
                break
            if tuple(self.words(position, position + length)) in table:
                most = length
            if self.closes(position + length - 1):
                break
        return most

    def clause_begin(self, position: int) -> int:
        """Where the clause of a position begins."""
        while position > 0 and not self.closes(position - 1):
            position -= 1
        return position

    def clause_end(self, position: int) -> int:
        """The position after the clause that `position` is in."""
        while position < len(self):
            position += 1
            if self.closes(position - 1):
                break
        return position


def _split(text: str) -> Iterable[Token]:
    quoted: Sequence[tuple[int, int]] = [found.span() for found in _QUOTED.finditer(text)]
    for found in re.finditer(r"\S+", text):
        written, begin = found.group(), found.start()
        closes = bool(_CLOSING.search(written)) or written in _DASHES
        inside = any(start <= begin < end for start, end in quoted)
        yield Token(written, bare(written), closes, inside)
