"""The packaged text encoder, and pseudo-words among real ones."""

from __future__ import annotations

import numpy as np
import pytest

from composir.errors import ModelError, QueryError
from composir.model import TextEncoder, load_model
from composir.types import FloatArray

TEXTS = ("a red lamp", "two dogs run along a beach at sunset", "x", "the same in brass")


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_model("mini", threads=1).texts


def word(encoder: TextEncoder, text: str) -> FloatArray:
    """The embedding of a word that is one token, (1, Dw)."""
    ids = encoder.tokenise([text])[0][1:-1]
    assert len(ids) == 1
    return encoder.embed(ids)


def test_ten_thousand_words_are_cut(encoder: TextEncoder) -> None:
    ids = encoder.tokenise(["lamp " * 10_000])[0]

    assert len(ids) == encoder.max_tokens
    assert ids[-1] == encoder.tokenise(["lamp"])[0][-1]
    assert encoder.encode(["lamp " * 10_000]).shape[0] == 1


@pytest.mark.parametrize("text", ["", "   ", "красная лампа", "红色的灯", "🔴💡", "\x00\n"])
def test_any_text_gives_a_unit_vector(encoder: TextEncoder, text: str) -> None:
    assert np.linalg.norm(encoder.encode([text])[0]) == pytest.approx(1.0, abs=1e-4)


def test_one_text_or_many_give_the_same_vectors(encoder: TextEncoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])

    assert np.abs(together - alone).max() < 1e-3


def test_a_words_own_embedding_in_its_place_changes_nothing(encoder: TextEncoder) -> None:
    plain = encoder.encode(["a photo of dog in brass"])
    spliced, states = encoder.encode_spliced(["a photo of {} in brass"], [word(encoder, "dog")])

    assert np.abs(plain - spliced).max() < 1e-4
    assert len(states[0]) == len(encoder.tokenise(["a photo of dog in brass"])[0])


@pytest.mark.parametrize("template", ["no place", "{} and {}"])
def test_a_template_has_exactly_one_place(encoder: TextEncoder, template: str) -> None:
    with pytest.raises(QueryError, match=r"exactly one \{\}"):
        encoder.encode_spliced([template], [word(encoder, "dog")])


def test_pseudo_words_of_another_width_are_refused(encoder: TextEncoder) -> None:
    with pytest.raises(ModelError, match=f"word embeddings are \\(L, {encoder.word_dimension}"):
        encoder.encode_spliced(["a {}"], [np.zeros((1, 3), dtype=np.float32)])


def test_too_many_pseudo_words_are_refused_and_long_ends_are_cut(encoder: TextEncoder) -> None:
    many = np.repeat(word(encoder, "dog"), encoder.max_tokens, axis=0)
    with pytest.raises(QueryError, match="do not fit"):
        encoder.encode_spliced(["{}"], [many])
    _, states = encoder.encode_spliced(["{} " + "lamp " * 1000], [word(encoder, "dog")])
    assert len(states[0]) == encoder.max_tokens


@pytest.mark.parametrize("text", ["dog", "red", "beach"])
def test_a_words_own_embedding_is_nearest_to_that_word(encoder: TextEncoder, text: str) -> None:
    [nearest] = encoder.nearest_words(word(encoder, text), count=3)

    assert nearest[0] == text
    assert len(nearest) == 3


def test_bytes_that_a_terminal_could_not_decode_are_understood(encoder: TextEncoder) -> None:
    escaped = "красный".encode().decode("ascii", "surrogateescape")
    assert encoder.tokenise([escaped]) == encoder.tokenise(["красный"])
    assert len(encoder.tokenise(["a \ud800 b"])[0]) > 2
