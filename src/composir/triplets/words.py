"""Words that carry content, and what one caption says that others do not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_FUNCTION_WORDS = """
a an the this that these those some any each every other another such of in on at by for from to
into onto with without within over under above below behind beside besides between among near next
through across along around against off out up down during before after while as and or but nor so
if then than is are was were be been being am has have had having do does did will would can could
may might must shall should it its he she they them him her his hers their theirs we us our you
your i my me there here who whom which what where when how very just also too not no one ones
something someone somebody himself herself itself themselves image picture photo photograph
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())
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
