"""What one caption says that another does not."""

from __future__ import annotations

import pytest

from composir.triplets.words import (
    content_stems,
    new_phrases,
    plain,
    sentence_body,
    with_article,
)


def test_new_phrases_are_in_the_captions_own_words() -> None:
    known = content_stems(["A brown dog runs on the grass .", "dogs on a lawn"])
    assert new_phrases("A white dog swims in a pool .", known) == ["a white dog", "swims in a pool"]


def test_plurals_are_no_news() -> None:
    assert new_phrases("Two dogs running", content_stems(["a dog runs", "two", "running"])) == []


def test_long_runs_are_cut() -> None:
    phrases = new_phrases(" ".join(f"word{n}" for n in range(20)), frozenset())
    assert max(len(phrase.split()) for phrase in phrases) <= 9


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("art_painting", "art painting"),
        ("Golden-Delicious", "golden delicious"),
        ("T-shirt", "t-shirt"),
    ],
)
def test_values_as_people_write_them(value: str, shown: str) -> None:
    assert plain(value) == shown


@pytest.mark.parametrize(
    ("noun", "shown"),
    [("apple", "an apple"), ("dress", "a dress"), ("shoes", "shoes"), ("cactus", "a cactus")],
)
def test_articles(noun: str, shown: str) -> None:
    assert with_article(noun) == shown


def test_a_caption_inside_a_sentence() -> None:
    assert sentence_body("A dog , wet , runs .") == "a dog, wet, runs"
    assert sentence_body("Paris at night.") == "Paris at night"
