"""How a modification text falls into phrases."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composir.explain.phrases import shown, split_phrases, without


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("red", ("red",)),
        ("but at night", ("but at night",)),
        (
            "in brass, without the shade and at night",
            ("in brass,", "without the shade", "and at night"),
        ),
        ("a dog instead of a cat", ("a dog", "instead of a cat")),
        ("is blue; has stripes", ("is blue;", "has stripes")),
        ("with and without", ("with and without",)),
        ("赤い、大きい", ("赤い、", "大きい")),
        ("  ", ()),
    ],
)
def test_phrases(text: str, phrases: tuple[str, ...]) -> None:
    assert split_phrases(text) == phrases


@pytest.mark.parametrize(
    ("left_out", "rest"),
    [
        (0, "without the shade and at night"),
        (1, "in brass, and at night"),
        (2, "in brass, without the shade"),
    ],
)
def test_the_rest_reads_like_a_text(left_out: int, rest: str) -> None:
    assert without(split_phrases("in brass, without the shade and at night"), left_out) == rest


def test_nothing_is_left_of_a_single_phrase() -> None:
    assert without(("but at night",), 0) == ""
    assert without(("red,", "but bigger"), 0) == "bigger"


def test_people_see_no_comma() -> None:
    assert shown("in brass,") == "in brass"
    assert shown(",") == ","


@settings(deadline=None)
@given(st.text(alphabet="ab ,.;andwithout", max_size=60))
def test_no_word_is_lost(text: str) -> None:
    assert " ".join(split_phrases(text)).split() == text.split()
