"""Sentences with places for pseudo-words and for the modification."""

from __future__ import annotations

import pytest

from composir.compose.template import check_template, filled, without_reference

COMPOSED = "a photo of {} that {text}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("is red", "a photo of {} that is red"),
        ("a cartoon of *", "a cartoon of {}"),
        ("* at night, beside *", "{} at night, beside it"),
        ("a 5* hotel", "a photo of {} that a 5* hotel"),
        ("has {} on it", "a photo of {} that has { } on it"),
        ("says {text}", "a photo of {} that says {text}"),
    ],
)
def test_the_modification_takes_its_place(text: str, sentence: str) -> None:
    assert filled(COMPOSED, text) == sentence
    check_template(filled(COMPOSED, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [("a cartoon of *", "a cartoon"), ("*, but red", "but red"), ("a 5* hotel", "a 5* hotel")],
)
def test_words_alone_do_without_the_sign_for_the_reference(text: str, words: str) -> None:
    assert without_reference(text) == words


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_has_one_place_for_the_reference(template: str) -> None:
    with pytest.raises(ValueError, match=r"exactly one \{\}"):
        check_template(template)
