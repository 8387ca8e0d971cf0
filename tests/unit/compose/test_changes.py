"""What the words exchange, and which way pictures move: learned for phrases, not for wordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from composir.compose.changes import Changes, PictureMoves, asked_phrases, likeness
from composir.compose.retrieved import PhraseVectors
from composir.errors import BundleError
from composir.train.composing.picture_moves import fit_moves
from composir.types import FloatArray
from tests.fakes import ColourModel

MODEL = ColourModel()
ENCODE = PhraseVectors(MODEL)


def picture(colour: str) -> FloatArray:
    return MODEL.encode_texts([colour])


def moves_of(text: str, move: FloatArray, count: int = 400) -> PictureMoves:
    learned = fit_moves([text] * count, np.tile(move, (count, 1)), MODEL.encode_texts)
    return PictureMoves(*learned.astype(np.float32))


def test_the_words_take_off_what_the_picture_shows() -> None:
    exchanged, learned = Changes(ENCODE)(picture("blue"), ["in red"])
    assert exchanged[0] @ picture("red")[0] > 0.0
    assert exchanged[0] @ picture("blue")[0] < 0.0
    assert not learned.any()


def test_a_text_of_no_group_exchanges_nothing() -> None:
    exchanged, _ = Changes(ENCODE)(picture("blue"), ["nicer"])
    assert not exchanged.any()


def test_what_was_learned_of_one_wording_holds_for_another() -> None:
    move = np.zeros(MODEL.dimension, np.float32)
    move[-1] = 0.5
    learned = moves_of("striped", move)
    _, moved = Changes(ENCODE, learned)(picture("blue"), ["with a striped pattern"])
    assert asked_phrases("with a striped pattern") == asked_phrases("striped")
    np.testing.assert_allclose(moved[0], learned(ENCODE(asked_phrases("striped")))[0], atol=0.3)
    assert moved[0, -1] > 0.05


def test_what_texts_know_already_is_not_added_again() -> None:
    exchanged, _ = Changes(ENCODE)(picture("blue"), ["in red"])
    _, moved = Changes(ENCODE, moves_of("in red", exchanged[0]))(picture("blue"), ["in red"])
    np.testing.assert_allclose(moved, 0.0, atol=1e-3)


def test_few_triplets_count_less_and_two_things_at_once_do_not() -> None:
    move = np.ones(MODEL.dimension, np.float32)
    phrase = ENCODE(asked_phrases("in red"))
    few, many = moves_of("in red", move, 2)(phrase), moves_of("in red", move, 200)(phrase)
    assert 0.0 < few.max() < 0.5 < many.max() < 1.01
    both = fit_moves(["in red, with stripes"], move[None], MODEL.encode_texts)
    assert both.shape == (2, 0, MODEL.dimension)


def test_the_same_phrase_is_alike_and_no_other_as_much() -> None:
    vectors = MODEL.encode_texts(["red", "blue"])
    np.testing.assert_allclose(np.diag(likeness(vectors, vectors)), 1.0, atol=1e-5)
    assert likeness(vectors, vectors)[0, 1] < 0.5


def test_a_file_of_another_width_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "moves.npy", np.zeros((2, 3, 7), np.float16))
    with pytest.raises(BundleError, match=r"moves\.npy"):
        PictureMoves.load(tmp_path / "moves.npy", MODEL.dimension)
