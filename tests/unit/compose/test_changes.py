"""What the words exchange, and which way pictures move: learned for phrases, not for wordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from composir.compose.changes import Changes, PhraseSpace, PictureMoves, asked_phrases, likeness
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
    learned = fit_moves([text] * count, np.tile(move, (count, 1)), MODEL)
    return PictureMoves(*learned.astype(np.float32))


def test_the_words_take_off_what_the_picture_shows() -> None:
    exchanged, learned = Changes(ENCODE)(picture("blue"), ["in red"])
    assert exchanged[0] @ picture("red")[0] > 0.0
    assert exchanged[0] @ picture("blue")[0] < 0.0
    assert not learned.any()


def test_a_text_of_no_group_exchanges_nothing() -> None:
    exchanged, _ = Changes(ENCODE)(picture("blue"), ["nicer"])
    assert not exchanged.any()


def test_a_text_of_no_group_exchanges_those_that_it_is_near_to_where_the_bundle_says_so() -> None:
    near = Changes(ENCODE, None, PhraseSpace(temperature=0.01, nearness=0.01, drawn=1.0))
    assert asked_phrases("blue whale") == ("blue whale",)
    exchanged, _ = near(np.repeat(picture("red"), 2, axis=0), ["blue whale", "in blue"])
    for change in exchanged:
        assert change @ picture("blue")[0] > 0.3
        assert change @ picture("red")[0] < -0.3


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
    both = fit_moves(["in red, with stripes"], move[None], MODEL)
    assert both.shape == (2, 0, MODEL.dimension)


def test_the_same_phrase_is_alike_and_no_other_as_much() -> None:
    vectors = MODEL.encode_texts(["red", "blue"])
    np.testing.assert_allclose(np.diag(likeness(vectors, vectors, 12.0)), 1.0, atol=1e-5)
    assert likeness(vectors, vectors, 12.0)[0, 1] < 0.5
    assert likeness(vectors, vectors, 24.0)[0, 1] < likeness(vectors, vectors, 12.0)[0, 1]


def test_a_file_of_another_width_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "moves.npy", np.zeros((2, 3, 7), np.float16))
    with pytest.raises(BundleError, match=r"moves\.npy"):
        PictureMoves.load(tmp_path / "moves.npy", MODEL.dimension, 12.0)


class Told(ColourModel):
    """A model whose bundle says something of its space."""

    def __init__(self, **said: float) -> None:
        self.composer_settings = {"changes": dict(said)}  # type: ignore[misc]


def test_a_bundle_says_how_far_apart_its_space_puts_things() -> None:
    assert PhraseSpace.of(MODEL) == PhraseSpace(temperature=0.05, sharpness=12.0)
    assert PhraseSpace.of(Told(sharpness=30.0)) == PhraseSpace(temperature=0.05, sharpness=30.0)


def test_moves_are_learned_at_the_sharpness_of_the_space() -> None:
    phrases = MODEL.encode_texts(["red", "blue"])
    step = np.eye(2, MODEL.dimension, dtype=np.float32)
    texts, differences = ["red"] * 400 + ["blue"] * 400, np.repeat(step, 400, axis=0)
    for sharpness in (0.5, 30.0):
        learned = fit_moves(texts, differences, Told(sharpness=sharpness)).astype(np.float32)
        moves = PictureMoves(learned[0], learned[1], sharpness)
        np.testing.assert_allclose(moves(phrases), step, atol=0.05)


def test_a_warm_temperature_takes_off_the_mean_of_the_group() -> None:
    warm, cold = (
        Changes(ENCODE, None, PhraseSpace(temperature=heat))(picture("blue"), ["in red"])[0][0]
        for heat in (1e6, 0.01)
    )
    assert cold @ picture("blue")[0] < warm @ picture("blue")[0]


@pytest.mark.parametrize("said", [{"sharpness": 0.0}, {"temperature": -1.0}, {"warmth": 1.0}])
def test_a_bundle_that_says_something_else_is_refused(said: dict[str, float]) -> None:
    with pytest.raises(BundleError, match="colours: its settings of changes"):
        PhraseSpace.of(Told(**said))
