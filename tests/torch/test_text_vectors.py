"""Kept vectors of texts: computed once, and never believed where their file is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pytest

from composir.model import Model
from composir.train.text_vectors import text_vectors
from composir.types import FloatArray

TEXTS = ["a red car", "the same at night", "without the dog"]


class Encoder:
    """A text side whose vectors tell which texts it was asked; D = 4."""

    dimension = 4
    text_checksum = "0" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        self.asked += texts
        rows = [np.random.default_rng(len(text)).standard_normal(4) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)


def vectors(cache: Path, encoder: Encoder) -> FloatArray:
    return text_vectors(cache, cast(Model, encoder), TEXTS)


def kept(cache: Path) -> Path:
    """The one file of a cache, filled if it is empty."""
    vectors(cache, Encoder())
    [file] = cache.iterdir()
    return file


def test_texts_are_encoded_once(tmp_path: Path) -> None:
    first, second = Encoder(), Encoder()
    before = vectors(tmp_path / "cache", first)
    np.testing.assert_array_equal(vectors(tmp_path / "cache", second), before)
    assert first.asked == TEXTS
    assert second.asked == []


def test_a_file_cut_short_anywhere_is_computed_anew(tmp_path: Path) -> None:
    file = kept(tmp_path)
    whole = file.read_bytes()
    for end in range(len(whole)):
        file.write_bytes(whole[:end])
        encoder = Encoder()
        np.testing.assert_array_equal(vectors(tmp_path, encoder), Encoder().encode_texts(TEXTS))
        assert encoder.asked == TEXTS
        assert file.read_bytes() == whole


def test_a_header_changed_anywhere_gives_no_wrong_numbers(tmp_path: Path) -> None:
    file = kept(tmp_path)
    whole = file.read_bytes()
    header = len(whole) - 3 * 4 * 4
    for place in range(header):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        np.testing.assert_array_equal(vectors(tmp_path, Encoder()), Encoder().encode_texts(TEXTS))


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((3, 4), np.float32),
        np.full((3, 4), np.nan, np.float32),
        np.eye(2, 4, dtype=np.float32),
        np.eye(3, 5, dtype=np.float32),
        np.eye(3, 4),
        np.eye(3, 4, dtype=np.float32).astype(">f4"),
        np.float32(1),
        np.array([{"pickled": 1}]),
    ],
)
def test_an_array_of_something_else_is_computed_anew(tmp_path: Path, other: Any) -> None:
    file = kept(tmp_path)
    np.save(file, other)
    encoder = Encoder()
    np.testing.assert_array_equal(vectors(tmp_path, encoder), Encoder().encode_texts(TEXTS))
    assert encoder.asked == TEXTS


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{", b"\0" * 176]
)
def test_a_file_that_is_no_array_is_computed_anew(tmp_path: Path, content: bytes) -> None:
    file = kept(tmp_path)
    file.write_bytes(content)
    np.testing.assert_array_equal(vectors(tmp_path, Encoder()), Encoder().encode_texts(TEXTS))
    assert np.load(file).shape == (3, 4)


def test_a_file_that_cannot_be_written_whole_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: IO[bytes], rows: FloatArray) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        vectors(tmp_path, Encoder())
    assert list(tmp_path.iterdir()) == []
