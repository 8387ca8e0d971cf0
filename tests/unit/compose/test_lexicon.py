"""Phrases that replace others: which are found in a text, and what they are exchanged for."""

from __future__ import annotations

import pytest

from composir.compose.exchanges import read_exchanges, read_instead
from composir.compose.lexicon import Lexicon, exchanged, packaged_lexicon

LEXICON = packaged_lexicon()


def found(text: str) -> list[tuple[str, str]]:
    """Group and standing phrase of what is found."""
    return [(one.column.group, one.column.phrases[one.member]) for one in LEXICON.find(text)]


@pytest.mark.parametrize(
    ("text", "group", "phrase"),
    [
        ("in red", "colour", "red"),
        ("make it Crimson!", "colour", "red"),
        ("dark-blue", "colour", "navy blue"),
        ("an orange cat", "colour", "orange"),
        ("a glass table", "material", "glass"),
        ("wooden", "material", "wooden"),
        ("made out of wood", "material", "made of wood"),
        ("with stripes", "pattern", "with stripes"),
        ("striped", "pattern", "striped"),
        ("at the beach", "place", "on a beach"),
        ("beach", "place", "on a beach"),
        ("as a cartoon", "kind of picture", "a cartoon"),
        ("a pencil drawing of *", "kind of picture", "a pencil sketch"),
        ("in black and white", "tone of the picture", "in black and white"),
        ("during the night", "time of day", "at night"),
        ("in the fall", "season", "in autumn"),
        ("on a sunny day", "weather", "in sunshine"),
        ("long-sleeved", "sleeves", "long sleeved"),
        ("a bird's-eye view", "view", "seen from above"),
        ("a pair of them", "number", "two"),
        ("an elderly man", "age", "old"),
        ("on white", "background", "on a white background"),
        ("looking sad", "mood", "sad"),
        ("the men’s version", "for whom", "men's"),
    ],
)
def test_a_phrase_is_found_in_its_group(text: str, group: str, phrase: str) -> None:
    assert found(text) == [(group, phrase)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "a dog", "an orange", "a glass of milk", "a red wine", "fall down"),
        *("the one with it",),
        *("a table", "with a lamp on it", "the beach house", "holding a piece of paper"),
        *('"red"', "next to the kitchen sink", "redder", "rosewood"),
    ],
)
def test_words_in_another_sense_are_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_bare_place_counts_only_at_the_beginning_of_a_clause() -> None:
    assert found("a red kitchen") == [("colour", "red")]
    assert found("in red, beach") == [("colour", "red"), ("place", "on a beach")]


def test_several_groups_are_found_from_left_to_right() -> None:
    assert found("a red shirt and blue trousers, on a beach in winter") == [
        ("colour", "red"),
        ("colour", "blue"),
        ("place", "on a beach"),
        ("season", "in winter"),
    ]


SMALL = Lexicon(
    [
        *("# a comment", "[colour]", "red, scarlet", "blue", "orange~", "", "[place]"),
        *("on a beach, shore", "in a town", "[picture]", "a photo", "an etching, engraving"),
        *("! red wine",),
    ]
)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("a scarlet shirt", ("a red shirt", "a blue shirt", "an orange shirt")),
        ("in red, please", ("in red, please", "in blue, please", "in orange, please")),
        ("it lies on the shore.", ("it lies on a beach.", "it lies in a town.")),
        ("an engraving of *", ("a photo of *", "an etching of *")),
        ("as the engraving", ("as the photo", "as the etching")),
    ],
)
def test_a_phrase_is_exchanged_in_place(text: str, texts: tuple[str, ...]) -> None:
    [one] = SMALL.find(text)
    assert exchanged(text, one) == texts


def test_every_group_of_the_packaged_lexicon_has_something_to_replace() -> None:
    groups = [column.group for column in LEXICON.columns]
    assert {"colour", "material", "pattern", "season", "place", "number"} <= set(groups)
    for column in LEXICON.columns:
        assert len(column.phrases) >= 2, column
        # What is encoded for one query must stay little.
        assert len(column.phrases) <= 40, column
        assert len(set(column.phrases)) == len(column.phrases), column


def test_every_phrase_of_the_packaged_lexicon_is_found_as_itself() -> None:
    for column in LEXICON.columns:
        for phrase in column.phrases:
            assert [one.column.group for one in LEXICON.find(phrase)] == [column.group], phrase


@pytest.mark.parametrize(
    ("text", "new", "old"),
    [
        ("a cat instead of a dog", "a cat", "a dog"),
        ("navy rather than white.", "navy", "white"),
        ("instead of the lamp, a candle", "a candle", "the lamp"),
        ("Replace the dog with a cat", "a cat", "the dog"),
        ("swap the red hat for a cap", "a cap", "the red hat"),
        ("change the dog to a cat", "a cat", "the dog"),
        ("from red to blue", "blue", "red"),
    ],
)
def test_what_a_text_names_as_replaced_is_read(text: str, new: str, old: str) -> None:
    assert read_instead(text) == (new, old)


@pytest.mark.parametrize(
    "text",
    [
        *("in red", "change the colour to red", "turn it into a cartoon", "swap", ""),
        *("a walk from the house", "instead of this", "change it to blue"),
    ],
)
def test_texts_that_name_nothing_replaced_are_left_alone(text: str) -> None:
    assert read_instead(text) is None


def test_what_is_named_goes_before_the_lexicon() -> None:
    [one] = read_exchanges("blue instead of white")
    assert (one.wanted, one.shown) == ("blue", ("white",))
    [one] = read_exchanges("change the colour to blue")
    assert one.wanted == "blue"
    assert "change the colour to red" in one.texts
    assert read_exchanges("with a dog") == ()
