"""The words of a filter: names, numbers, texts in quotes, and signs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from composir.errors import FilterError
from composir.gallery.rows import clean_text

LONGEST = 1_000_000
"""Characters of a filter."""

LONGEST_NUMBER = 40
_NEAR = 24  # characters shown of the place where something is wrong


class Word(Enum):
    """Sorts of tokens."""

    NAME = "a name"
    QUOTED_NAME = "a quoted name"
    NUMBER = "a number"
    TEXT = "a text"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class FilterToken:
    """One word."""

    word: Word  # its sort
    text: str  # as written, quotes taken off
    start: int  # where it begins in the filter

    def is_sign(self, *signs: str) -> bool:
        """Whether it is one of these signs."""
        return self.word is Word.SIGN and self.text in signs

    def ends_value(self) -> bool:
        """Whether nothing can belong to the value before it."""
        return self.word is Word.SIGN and self.text in {",", ")"}

    def is_keyword(self, *words: str) -> bool:
        """Whether it is one of these words, given in upper case."""
        return self.word is Word.NAME and self.text.upper() in words


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>`(?:[^`]|``)*`|"(?:[^"]|"")*")
    | (?P<name>[^\W\d]\w*)
    | (?P<placeholder>\?|\$\w+|(?<!:):[^\W\d]\w*)
    | (?P<sign><>|!=|<=|>=|==|\|\||::|[-+*/%(),=<>])
    """,
    re.VERBOSE,
)
_SORTS = {
    "number": Word.NUMBER,
    "text": Word.TEXT,
    "quoted": Word.QUOTED_NAME,
    "name": Word.NAME,
    "sign": Word.SIGN,
}


def tokenize(text: str) -> Iterator[FilterToken]:
    """The words of a filter, the last one being `END`."""
    if len(text) > LONGEST:
        raise FilterError(
            f"it has {len(text):,} characters; at most {LONGEST:,} are read. Put what belongs "
            "together into a column of the metadata and filter by that"
        )
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise FilterError(_no_word(text, place))
        if found.lastgroup == "placeholder":
            raise FilterError(_no_value(found.group()))
        if found.lastgroup != "space":
            yield _token(found)
        place = found.end()
    yield FilterToken(Word.END, "", len(text))


def near(text: str, start: int) -> str:
    """A piece of the filter from a place on, for messages."""
    piece = text[start : start + _NEAR]
    return repr(piece + ("..." if start + _NEAR < len(text) else ""))


def _token(found: re.Match[str]) -> FilterToken:
    word, text = _SORTS[str(found.lastgroup)], found.group()
    if word in {Word.TEXT, Word.QUOTED_NAME}:
        text = _readable(text[1:-1].replace(text[0] * 2, text[0]))
    if word is Word.NUMBER and len(text) > LONGEST_NUMBER:
        raise FilterError(
            f"the number {text[:LONGEST_NUMBER]}... is not read: at most {LONGEST_NUMBER} digits"
        )
    return FilterToken(word, text, found.start())


def _readable(text: str) -> str:
    """Bytes of no encoding as columns show them."""
    try:
        return clean_text(text)
    except UnicodeEncodeError as error:
        raise FilterError(f"the text {text[:_NEAR]!r} holds half a character") from error


def _no_word(text: str, place: int) -> str:
    if text[place] in "'`\"":
        return f"the quote at {near(text, place)} is not closed"
    if text[place].isdigit():
        return f"no number at {near(text, place)}; names that begin with a digit stand in backticks"
    return f"{text[place]!r} has no place in a filter (at {near(text, place)})"


def _no_value(placeholder: str) -> str:
    return (
        f"there is no value for {placeholder}; write the value itself, texts in single quotes, "
        "names with such characters in backticks"
    )
