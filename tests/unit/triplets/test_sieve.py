"""What is dropped, and that it is counted."""

from __future__ import annotations

import numpy as np

from composir.triplets import sieve as sieves
from composir.triplets.records import Pair, Skipped, WrittenText
from composir.triplets.sieve import FilterSettings, Sieve
from tests.fakes import COLOURS, ColourModel
from tests.unit.triplets.world import picture

NAMES = ("red", "green", "blue")
IMAGES = tuple(picture(name, f"a {name} wall") for name in NAMES)
MODEL = ColourModel()
MATRIX = MODEL.encode_pixels(
    np.stack([np.full((8, 8, 3), COLOURS[name], np.uint8) for name in NAMES])
)


def sieve(**settings: float) -> Sieve:
    return Sieve(FilterSettings(**settings), IMAGES, MATRIX, MODEL.encode_texts)  # type: ignore[arg-type]


def text(words: str) -> WrittenText:
    return WrittenText(words, words, {"writer": "test"})


def outcome(the_sieve: Sieve, pair: Pair, written: WrittenText | Skipped) -> str:
    """`kept`, or the reason why not."""
    if the_sieve.is_worth_writing(pair) and the_sieve.passing([pair], [written], 1):
        return "kept"
    return next(iter(the_sieve.dropped))


def test_a_text_must_fit_the_target() -> None:
    assert outcome(sieve(), Pair("image", 0, 2), text("blue")) == "kept"
    assert outcome(sieve(), Pair("image", 0, 2), text("red")) == sieves.FITS_REFERENCE
    assert outcome(sieve(margin=3.0), Pair("image", 0, 2), text("blue")) == sieves.FITS_REFERENCE


def test_the_claim_counts_and_not_what_is_gone() -> None:
    both = WrittenText("blue instead of red red red", "blue", {"writer": "test"})
    assert outcome(sieve(), Pair("image", 0, 2), both) == "kept"


def test_similarities_are_kept_with_the_triplet() -> None:
    (triplet,) = sieve().passing([Pair("image", 0, 2)], [text("blue")], 1)
    assert triplet.target_fit > 0.99
    assert triplet.reference_fit < 0.5
    assert np.isclose(triplet.image_similarity, MATRIX[0] @ MATRIX[2])


def test_near_duplicates_pairs_and_texts_come_once() -> None:
    assert outcome(sieve(max_similarity=-1.0), Pair("image", 0, 2), text("blue")) == (
        sieves.NEAR_DUPLICATE
    )
    once = sieve()
    assert once.is_worth_writing(Pair("image", 0, 2))
    assert not once.is_worth_writing(Pair("caption", 0, 2))
    assert once.dropped == {sieves.SAME_PAIR: 1}
    pairs = [Pair("image", 0, 2), Pair("image", 0, 2)]
    assert len(sieve().passing(pairs, [text("blue"), text("Blue!")], 9)) == 1


def test_a_reference_has_its_share() -> None:
    few = sieve(per_reference=1)
    assert outcome(few, Pair("image", 0, 2), text("blue")) == "kept"
    assert not few.is_worth_writing(Pair("image", 0, 1))
    assert few.dropped == {sieves.PER_REFERENCE: 1}


def test_a_caption_of_the_reference_is_no_text() -> None:
    assert outcome(sieve(), Pair("image", 0, 2), text("A red wall.")) == sieves.SAYS_REFERENCE


def test_what_the_writer_skipped_is_counted_under_its_reason() -> None:
    assert outcome(sieve(), Pair("image", 0, 2), Skipped("no idea")) == "no idea"
