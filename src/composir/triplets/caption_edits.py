"""One thing of a caption changed, and the words that ask for it: a small English grammar.

An edit makes of a caption another one and says what has to change, in one of several wordings.
What is put in comes from the lexicon of what words replace (`compose.lexicon`) and from other
captions: their beginnings ("two dogs") and their endings ("near a lake", "wearing a red hat").
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from composir.compose.lexicon import Found, exchanged, packaged_lexicon
from composir.triplets.words import sentence_body, with_article

_TAIL = re.compile(
    r"\s(?=(in front of|next to|in|on|with|wearing|near|at|by|holding|behind|under|beside|through|"
    r"over|while|along|against|around|carrying)\s)"
)
_NAMED = {"with", "wearing", "holding", "carrying"}
_SUBJECT = re.compile(
    r"((?:an?|the|two|three|four|several|some|many) (?:[\w-]+ ){0,2}[\w-]+?) "
    r"(?=(?:is|are|in|on|with|at|near|by|and|who|that|[a-z]{3,}ing) )"
)
_THING = re.compile(r"(?:and |with )?(?=(?:an?|the|his|her|some|two|three|many|other) )")
_NO_PROPERTY = frozenset({"number", "for whom", "kind of picture", "posture", "age", "view"})
_MOST_TAIL, _LEAST_HEAD, _MOST_CHANGED, _KEPT = 9, 2, 6, 400

EXCHANGED = (
    *("{new}", "but {new}", "make it {new}", "now {new}", "{new} instead", "the same, but {new}"),
    *(
        "{new} instead of {old}",
        "{new}, not {old}",
        "{new} rather than {old}",
        "from {old} to {new}",
    ),
    *("change {old} to {new}", "replace {old} with {new}", "swap {old} for {new}"),
)
OF_A_THING = (
    *("with {a_new}", "the {thing} is {new}", "make the {thing} {new}", "{new} {thing}"),
    *("{a_new} instead", "{a_new} instead of {a_old} one", "the {thing} in {new}"),
)
ADDED = ("{new}", "but {new}", "now {new}", "is {new}", "the same, {new}", "this time {new}")
THING_ADDED = (
    "with {new}",
    "add {new}",
    "but with {new}",
    "and {new}",
    "put {new} there",
    "{new} too",
)
REMOVED = ("not {old}", "no longer {old}", "leave out: {old}", "but not {old}")
THING_REMOVED = (
    "without {old}",
    "remove {old}",
    "take away {old}",
    "but without {old}",
    "no {old}",
)
WHOLE = ("{new}", "but {new}", "change it to {new}", "make it {new}", "show {new}", "{new} instead")


@dataclass(frozen=True, slots=True)
class TextTriplet:
    """A triplet without pictures: captions, and what is to change between them.

    The edit is the same for the same change of other captions.
    """

    reference: str
    text: str
    target: str
    edit: str


class CaptionEditor:
    """Changes captions by what other captions say, as far as it has read them.

    One editor reads captions in one order, so that the same seed gives the same triplets.
    """

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)
        self._tails: dict[str, list[str]] = defaultdict(list)
        self._subjects: list[str] = []

    def edits(self, caption: str) -> Iterator[TextTriplet]:
        """All edits of a caption, there and back; each draws anew what is put in."""
        body = sentence_body(caption)
        for found in packaged_lexicon().find(body):
            yield from self._exchange(body, found)
        yield from self._ending(body)
        yield from self._subject(body)

    def changed(self, caption: str, changed: str) -> Iterator[TextTriplet]:
        """The way from a caption to a changed one, and back."""
        one, other = sentence_body(caption), sentence_body(changed)
        for start, end in ((one, other), (other, one)):
            steps = _steps(start.split(), end.split())
            if len(steps) == 1 and max(len(words.split()) for words in steps[0]) <= _MOST_CHANGED:
                yield self._worded(start, end, *steps[0], "changed")
            else:
                yield from self.towards(start, end)

    def towards(self, caption: str, other: str) -> Iterator[TextTriplet]:
        """From one caption to another by saying all that the other says."""
        start, end = sentence_body(caption), sentence_body(other)
        if start != end:
            yield self._said((start, end), WHOLE, "", end, "whole")

    def _exchange(self, body: str, found: Found) -> Iterator[TextTriplet]:
        phrases, versions = found.column.phrases, exchanged(body, found)
        others = [place for place in range(len(phrases)) if place != found.member]
        if not others:
            return
        place, words = others[self._draw.integers(len(others))], body.split()
        # A property is asked for with its thing as often as alone.
        bare = not found.column.prepositions and found.stop < len(words)
        named = bare and found.column.group not in _NO_PROPERTY and self._draw.random() < 0.5
        thing = words[found.stop].strip(",.;:") if named else ""
        forms = OF_A_THING if thing else EXCHANGED
        here, there = versions[found.member], versions[place]
        old, new, name = phrases[found.member], phrases[place], found.column.group
        yield self._said((here, there), forms, old, new, name, thing)
        yield self._said((there, here), forms, new, old, name, thing)

    def _ending(self, body: str) -> Iterator[TextTriplet]:
        cuts = [cut for cut in _TAIL.finditer(body) if _may_cut(body, cut.start())]
        if not cuts:
            return
        cut = cuts[self._draw.integers(len(cuts))]
        head, tail = body[: cut.start()].rstrip(" ,"), body[cut.end() :].rstrip(" ,")
        named = tail.removeprefix(cut[1]).strip() if cut[1] in _NAMED else tail
        yield self._worded(head, body, "", tail, "ending")
        yield self._worded(body, head, named, "", "ending")
        other = self._kept(self._tails[cut[1]], tail)
        if other:
            yield self._worded(body, f"{head} {other}", tail, other, "ending")

    def _subject(self, body: str) -> Iterator[TextTriplet]:
        match = _SUBJECT.match(body)
        other = self._kept(self._subjects, match[1]) if match else ""
        if match and other:
            changed = f"{other} {body[match.end() :]}"
            yield self._worded(body, changed, match[1], other, "subject")

    def _kept(self, known: list[str], new: str) -> str:
        """Another of what was read before; the new one may take the place of an old one."""
        other = known[self._draw.integers(len(known))] if known else ""
        if len(known) < _KEPT:
            known.append(new)
        else:
            known[self._draw.integers(_KEPT)] = new
        return "" if other == new else other

    def _worded(self, start: str, end: str, old: str, new: str, kind: str) -> TextTriplet:
        """An edit of words that stand in the caption: added, removed or exchanged."""
        if old and new:
            return self._said((start, end), EXCHANGED, old, new, kind)
        said = old or new
        thing = _THING.match(said)
        added, removed = (THING_ADDED, THING_REMOVED) if thing else (ADDED, REMOVED)
        said = said[thing.end() :] if thing else said
        if new:
            return self._said((start, end), added, "", said, kind)
        return self._said((start, end), removed, said, "", kind)

    def _said(
        self,
        ways: tuple[str, str],
        forms: tuple[str, ...],
        old: str,
        new: str,
        kind: str,
        thing: str = "",
    ) -> TextTriplet:
        """One of some wordings of the way from one caption to another."""
        form = forms[self._draw.integers(len(forms))]
        a_old, a_new = with_article(old), with_article(f"{new} {thing}".strip())
        text = form.format(old=old, new=new, a_old=a_old, a_new=a_new, thing=thing)
        edit = f"{kind}: {new}" if thing or forms is WHOLE else f"{kind}: {old} > {new}"
        return TextTriplet(ways[0], text, ways[1], edit)


def _may_cut(body: str, place: int) -> bool:
    head, tail = body[:place].split(), body[place:].split()
    return len(head) >= _LEAST_HEAD and 2 <= len(tail) <= _MOST_TAIL


def _steps(start: list[str], end: list[str]) -> list[tuple[str, str]]:
    """Runs of words that differ: what was there, and what is there instead."""
    steps = SequenceMatcher(None, start, end, autojunk=False).get_opcodes()
    return [
        (" ".join(start[a:b]), " ".join(end[c:d])) for what, a, b, c, d in steps if what != "equal"
    ]
