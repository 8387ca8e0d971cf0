"""Texts from templates: many, plain, free of charge. Low quality, by name.

A template is filled from what differs between two pictures: an attribute's old and new value, or
the words of the target's caption that the reference's captions lack. The claim of a text is the
part that speaks of the target alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from composir.triplets.records import Pair, Skipped, SourceImage, WrittenText, pair_rng
from composir.triplets.words import content_stems, new_phrases, plain, sentence_body, with_article

NOTHING_NEW = "the target's captions say nothing that the reference's do not"
NO_CAPTION = "no caption to write from"

_COLUMN_KINDS = {
    "colour": "colour",
    "style": "domain style medium technique rendering look",
    "thing": "class type kind category species breed object product item garment animal subject",
    "material": "material fabric finish texture",
    "place": "place scene location background setting room",
    "time": "season time daytime weather",
}
_COLOUR_COLUMNS = "colour color hue"

ATTRIBUTE_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "colour": (
        *("in {new}", "the same in {new}", "but in {new}", "make it {new}", "{new}", "but {new}"),
        *("{new} instead of {old}", "{new}, not {old}", "swap the {old} for {new}", "is {new}"),
        *("change the colour to {new}", "I want it in {new}", "this one, only {new}"),
        *(
            "the {new} version",
            "do you have this in {new}?",
            "recolour it {new}",
            "has to be {new}",
        ),
        *("{new} rather than {old}", "from {old} to {new}", "is {new} and not {old}"),
        *("{a_new} {thing}", "the {thing} in {new}", "same {thing}, but {new}"),
    ),
    "style": (
        *("as {a_new}", "turn it into {a_new}", "the same as {a_new}", "make it {a_new}"),
        *("{a_new} of the same", "{a_new} instead of {a_old}", "shown as {a_new}", "{new}"),
        *("{a_new}, not {a_old}", "redo this as {a_new}", "in the form of {a_new}"),
        *("swap the {old} for {a_new}", "I would like {a_new} of this", "but as {a_new}"),
        *("{a_new} of {a_thing}", "the same {thing} as {a_new}", "is {a_new}"),
    ),
    "thing": (
        *("{a_new} instead of {a_old}", "replace the {old} with {a_new}", "but {a_new}"),
        *("swap the {old} for {a_new}", "{new}, not {old}", "make it {a_new}", "show {a_new}"),
        *("with {a_new} in place of the {old}", "the same with {a_new}", "{a_new}, please"),
        *("change the {old} into {a_new}", "is {a_new}", "{new} rather than {old}", "{a_new}"),
    ),
    "material": (
        *("in {new}", "made of {new}", "{new} instead of {old}", "the same in {new}", "but {new}"),
        *("make it {new}", "{new}, not {old}", "is made of {new}", "change the {old} to {new}"),
    ),
    "place": (
        *("{new} instead of {old}", "with {a_new} around it", "move it: {new}", "but {new}"),
        *("{new} as the {column}", "change the {column} to {new}", "{new}, not {old}"),
    ),
    "time": (
        *("in {new}", "the same in {new}", "{new} instead of {old}", "but in {new}"),
        *("for {new}", "make it {new}", "{new}, not {old}"),
    ),
    "other": (
        *("{new} instead of {old}", "change {column} to {new}", "make it {new}", "but {new}"),
        *("the same, {new}", "{new}, not {old}", "with {new} as {column}", "{column}: {new}"),
        *("{new} rather than {old}", "is {new}", "{new}"),
    ),
}
"""By kind of column. {new}, {old}: values, {a_new}, {a_old}: with article; {thing}: what it is."""

CAPTION_TEMPLATES = (
    *(
        "{caption}",
        "make it {caption}",
        "but {caption}",
        "change it to {caption}",
        "show {caption}",
    ),
    *("I want {caption}", "{caption} instead", "more like this: {caption}", "find {caption}"),
    *("but {phrase}", "with {phrase}", "make it {phrase}", "{phrase}", "now {phrase}"),
    *("the same but {phrase}", "change it to {phrase}", "{phrase} instead", "add: {phrase}"),
    *("{phrase} instead of {old}", "{phrase}, not {old}", "less {old}, more {phrase}"),
    *("{phrase} and {phrase2}", "but {phrase}, {phrase2}", "swap {old} for {phrase}"),
)
"""{caption}: the target's; {phrase}, {phrase2}: what is new in it; {old}: what is gone."""


class TemplateWriter:
    """Writes from templates, the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    @property
    def settings(self) -> Mapping[str, Any]:
        """Nothing but which writer it is: the seed is the run's."""
        return {"writer": "template"}

    @property
    def is_spent(self) -> bool:
        """Never: templates cost nothing."""
        return False

    def write(
        self, pairs: list[Pair], images: tuple[SourceImage, ...]
    ) -> list[WrittenText | Skipped]:
        """One text, or the reason for none, a pair, in order."""
        return [self._one(pair, images[pair.reference], images[pair.target]) for pair in pairs]

    def _one(
        self, pair: Pair, reference: SourceImage, target: SourceImage
    ) -> WrittenText | Skipped:
        rng = pair_rng(self._seed, pair.label, reference.id, target.id)
        if pair.kind == "attribute":
            return _from_attribute(pair, reference, rng)
        return _from_captions(reference, target, rng)


def column_kind(column: str) -> str:
    """Which of `ATTRIBUTE_TEMPLATES` fits a column, by its name."""
    words = set(plain(column).split())
    if words & set(_COLOUR_COLUMNS.split()) or any("colo" in word for word in words):
        return "colour"
    fits = [kind for kind, names in _COLUMN_KINDS.items() if words & set(names.split())]
    return fits[0] if fits else "other"


def _from_attribute(pair: Pair, reference: SourceImage, rng: np.random.Generator) -> WrittenText:
    kind = column_kind(pair.column)
    thing = "" if kind == "thing" else _thing(reference, pair.column)
    fields = {
        "new": pair.new,
        "old": pair.old,
        "a_new": with_article(pair.new),
        "a_old": with_article(pair.old),
        "column": plain(pair.column),
        "thing": thing,
        "a_thing": with_article(thing),
    }
    fitting = [t for t in ATTRIBUTE_TEMPLATES[kind] if thing or "thing}" not in t]
    template = fitting[rng.integers(len(fitting))]
    return _written(template, fields, _claim(kind, pair.new, thing))


def _claim(kind: str, new: str, thing: str) -> str:
    if not thing:
        return new
    return f"{with_article(new)} of {with_article(thing)}" if kind == "style" else f"{new} {thing}"


def _thing(image: SourceImage, varied: str) -> str:
    """What the picture shows, from the first column that is called so."""
    for column, value in image.attributes.items():
        if column != varied and column_kind(column) == "thing":
            return plain(value)
    return ""


def _from_captions(
    reference: SourceImage, target: SourceImage, rng: np.random.Generator
) -> WrittenText | Skipped:
    if not reference.captions or not target.captions:
        return Skipped(NO_CAPTION)
    caption = target.captions[rng.integers(len(target.captions))]
    phrases = new_phrases(caption, content_stems(reference.captions))
    if not phrases:
        return Skipped(NOTHING_NEW)
    before = reference.captions[rng.integers(len(reference.captions))]
    gone = new_phrases(before, content_stems(target.captions))
    fields = {"caption": sentence_body(caption), "phrase": max(phrases, key=len)}
    fields |= {"old": max(gone, key=len)} if gone else {}
    others = [phrase for phrase in phrases if phrase != fields["phrase"]]
    fields |= {"phrase2": others[0]} if others else {}
    fitting = [t for t in CAPTION_TEMPLATES if _needs(t) <= set(fields)]
    template = fitting[rng.integers(len(fitting))]
    said = [fields[name] for name in ("caption", "phrase", "phrase2") if name in _needs(template)]
    return _written(template, fields, ", ".join(said))


def _needs(template: str) -> set[str]:
    return {part.partition("}")[0] for part in template.split("{")[1:]}


def _written(template: str, fields: Mapping[str, str], claim: str) -> WrittenText:
    origin = {"writer": "template", "template": template}
    return WrittenText(template.format(**fields), claim, origin)
