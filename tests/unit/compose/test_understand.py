"""Queries as they are meant."""

from __future__ import annotations

import pytest

from composir.compose.understand import understand
from composir.errors import QueryError
from composir.types import Query


def test_negations_join_the_negatives_once_each() -> None:
    query = Query("lamp.jpg", "in brass, without the shade", negatives=("people", "shade"))
    meant, notices = understand(query)

    assert meant == Query("lamp.jpg", "in brass", ("people", "shade"), literal=True)
    assert notices == ()


def test_what_was_understood_is_not_read_again() -> None:
    meant, _ = understand(Query(text="a sleeveless dress"))

    assert meant.negatives == ("sleeves",)
    assert understand(meant) == (meant, ())
    assert understand(Query(text="no people", literal=True))[0].text == "no people"


@pytest.mark.parametrize("image", [{"image": "lamp.jpg"}, {"from_device": True}])
@pytest.mark.parametrize(
    "text", ["without the shade", "the same but without the shade", "no shade"]
)
def test_an_image_needs_no_other_words(image: dict[str, object], text: str) -> None:
    meant, _ = understand(Query(text=text, **image))  # type: ignore[arg-type]

    assert (meant.text, meant.negatives) == ("", ("shade",))


@pytest.mark.parametrize("text", ["no people", "without people, cars or text", "* without people"])
def test_words_that_only_rule_out_are_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(QueryError, match=r"only says what must not be there: .*'a photo, "):
        understand(Query(text=text))


def test_the_way_out_works() -> None:
    meant, _ = understand(Query(text="a photo, no people"))

    assert (meant.text, meant.negatives) == ("a photo", ("people",))


def test_words_without_a_negation_stay_to_the_letter() -> None:
    query = Query(text="A  dog ,  not only   red")

    assert understand(query)[0].text == query.text
