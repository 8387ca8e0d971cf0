"""Words that carry content, and what one caption says that others do not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from composir.data.function_words import COMMON

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_FUNCTION_WORDS = (
    "above across after against along also am among another around before behind being "
    "below beside besides between can could did do does down during had has have having "
    "hers herself himself how if image itself may might must near next nor off ones other "
    "photo photograph picture shall should somebody someone something such theirs "
    "themselves through too whom will within without would"
)
_FUNCTION = COMMON | frozenset(_FUNCTION_WORDS.split())
_MAX_PHRASE = 8
_ARTICLES = frozenset({"a", "an", "the", "some", "two", "three", "four", "several", "many"})


def words_of(text: str) -> list[str]:
    """Words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """A rough stem, so that "dogs" is no news beside "dog": plural s and a final e go."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def content_stems(texts: Iterable[str]) -> frozenset[str]:
    """Stems of all words that carry content."""
    return frozenset(
        stem(word) for text in texts for word in words_of(text) if word not in _FUNCTION
    )


def new_phrases(caption: str, known: frozenset[str]) -> list[str]:
    """What a caption says beyond what is known, in its own words."""
    words = words_of(caption)
    fresh = [w not in _FUNCTION and stem(w) not in known for w in words]
    runs = _runs(words, fresh)
    return [" ".join(words[start:stop]) for start, stop in runs]


def _runs(words: list[str], fresh: list[bool]) -> list[tuple[int, int]]:
    """Spans from one new word to another with nothing but function words between them."""
    places = [place for place, is_new in enumerate(fresh) if is_new]
    if not places:
        return []
    groups = [[places[0]]]
    for before, place in pairwise(places):
        joined = all(word in _FUNCTION for word in words[before + 1 : place])
        if joined and place - groups[-1][0] < _MAX_PHRASE:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [_rounded(words, group[0], group[-1] + 1) for group in groups]


def _rounded(words: list[str], start: int, stop: int) -> tuple[int, int]:
    """A lone adjective gets the word that follows it, and a noun its article."""
    if stop - start == 1 and stop < len(words) and words[stop] not in _FUNCTION:
        stop += 1
    if start and words[start - 1] in _ARTICLES:
        start -= 1
    return start, stop


def plain(value: str) -> str:
    """An attribute's value as people write it: `art_painting` -> "art painting"."""
    return " ".join(re.sub(r"[_/|]+|(?<=\w)-(?=[A-Z])", " ", value).lower().split())


def with_article(noun: str) -> str:
    """The noun with "a" or "an"; plurals (as far as the ending tells) stay without."""
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def sentence_body(caption: str) -> str:
    """A caption fit to stand inside a sentence: no final stop, no capital article, plain spaces."""
    text = re.sub(r"\s+([.,;:!?])", r"\1", " ".join(caption.split())).rstrip(" .!;,")
    first, _, rest = text.partition(" ")
    lowered = first.lower() if first.lower() in _FUNCTION | _ARTICLES else first
    return f"{lowered} {rest}".strip()
