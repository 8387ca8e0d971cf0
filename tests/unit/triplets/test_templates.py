"""Texts from templates."""

from __future__ import annotations

import pytest

from composir.triplets.records import Pair, Skipped, WrittenText
from composir.triplets.templates import (
    ATTRIBUTE_TEMPLATES,
    CAPTION_TEMPLATES,
    NO_CAPTION,
    NOTHING_NEW,
    TemplateWriter,
    column_kind,
)
from tests.unit.triplets.world import picture

RED, BLUE = picture("r", kind="Track_Pants"), picture("b", kind="Track_Pants")
COLOUR = Pair("attribute", 0, 1, "Base Colour", "red", "blue")


def texts(pair: Pair, *images: object, seeds: int = 200) -> list[WrittenText]:
    made = [TemplateWriter(seed).write([pair], images)[0] for seed in range(seeds)]  # type: ignore[arg-type]
    return [text for text in made if isinstance(text, WrittenText)]


def test_colours_are_asked_for_in_many_ways() -> None:
    made = texts(COLOUR, RED, BLUE)
    said = {text.text for text in made}
    assert len(said) > 15
    assert {"in blue", "blue instead of red", "make it blue"} <= said
    assert "same track pants, but blue" in said
    assert all("blue" in text for text in said)
    assert {text.claim for text in made} == {"blue track pants"}


def test_the_same_seed_writes_the_same() -> None:
    assert texts(COLOUR, RED, BLUE) == texts(COLOUR, RED, BLUE)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("colour", "colour"),
        ("Main_Color", "colour"),
        ("domain", "style"),
        ("class", "thing"),
        ("size", "other"),
        ("season", "time"),
        ("fabric", "material"),
    ],
)
def test_columns_are_known_by_their_names(column: str, kind: str) -> None:
    assert column_kind(column) == kind


@pytest.mark.parametrize(
    "column", ["colour", "domain", "class", "material", "place", "season", "x"]
)
def test_every_template_of_attributes_can_be_filled(column: str) -> None:
    pair = Pair("attribute", 0, 1, column, "old thing", "new thing")
    made = texts(pair, RED, BLUE, seeds=400)
    assert all("new thing" in text.text and "{" not in text.text for text in made)
    used = {text.origin["template"] for text in made}
    assert used == set(ATTRIBUTE_TEMPLATES[column_kind(column)])


def test_captions_are_told_by_what_is_new() -> None:
    before = picture("r", "A brown dog runs on the grass .")
    after = picture("t", "A white dog swims in a pool .")
    made = texts(Pair("image", 0, 1), before, after, seeds=500)
    said = {text.text for text in made}
    assert {text.origin["template"] for text in made} == set(CAPTION_TEMPLATES)
    assert "make it a white dog swims in a pool" in said
    assert "swims in a pool instead of runs on the grass" in said
    claims = {text.claim for text in made}
    assert claims == {
        "a white dog swims in a pool",
        "swims in a pool",
        "swims in a pool, a white dog",
    }


def test_where_there_is_nothing_to_say_there_is_no_text() -> None:
    same = (picture("r", "a dog runs"), picture("t", "the dog runs"))
    assert TemplateWriter().write([Pair("image", 0, 1)], same) == [Skipped(NOTHING_NEW)]
    silent = (picture("r"), picture("t", "the dog runs"))
    assert TemplateWriter().write([Pair("image", 0, 1)], silent) == [Skipped(NO_CAPTION)]
