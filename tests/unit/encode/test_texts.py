"""Kept vectors of texts: computed once, and never believed where their file is damaged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from composir.encode.feature_store import FeatureStore
from composir.encode.texts import encode_texts
from composir.types import FloatArray
from tests.fakes import ColourModel

TEXTS = ["a red car", "the same in blue", "without the green dog", "half \ud83d of a pair"]


class Encoder(ColourModel):
    """A text side that keeps what it was asked."""

    def __init__(self, fingerprint: str = "colours-1", weight: float = 1.0) -> None:
        super().__init__(fingerprint)
        self.asked: list[str] = []
        self.weight = weight

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        self.asked += [text for text in texts if text in TEXTS]
        rows = super().encode_texts(texts) * np.array([self.weight, 1, 1, 1], dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_texts_are_encoded_once_and_repeats_are_free(tmp_path: Path) -> None:
    first, second = Encoder(), Encoder()
    told: list[tuple[int, int]] = []
    before = encode_texts(
        [*TEXTS, TEXTS[0]],
        first,
        FeatureStore(tmp_path),
        progress=lambda *at: told.append(at),
        batch=3,
    )
    after = encode_texts(TEXTS, second, FeatureStore(tmp_path))
    np.testing.assert_array_equal(before, [*after, after[0]])
    assert (first.asked, second.asked, told) == (TEXTS, [], [(3, 4), (4, 4)])
    np.testing.assert_array_equal(encode_texts(TEXTS, Encoder()), after)


@pytest.mark.parametrize("other", [Encoder("colours-2"), Encoder(weight=0.5)])
def test_another_model_or_text_side_has_its_own(tmp_path: Path, other: Encoder) -> None:
    encode_texts(TEXTS, Encoder(), FeatureStore(tmp_path))
    encode_texts(TEXTS, other, FeatureStore(tmp_path))
    assert other.asked == TEXTS


def test_a_file_cut_short_anywhere_is_computed_anew(tmp_path: Path) -> None:
    wanted = encode_texts(TEXTS, Encoder(), FeatureStore(tmp_path))
    [file] = tmp_path.glob("*.rows")
    for end in range(0, file.stat().st_size, 5):
        os.truncate(file, end)
        encoder = Encoder()
        np.testing.assert_array_equal(encode_texts(TEXTS, encoder, FeatureStore(tmp_path)), wanted)
        assert encoder.asked


def test_numbers_that_are_no_vectors_are_computed_anew(tmp_path: Path) -> None:
    wanted = encode_texts(TEXTS, Encoder(), FeatureStore(tmp_path))
    [file] = tmp_path.glob("*.rows")
    for rows in (
        np.zeros((4, 4), "f4"),
        np.full((4, 4), np.nan, "f4"),
        np.full((4, 4), 7e30, "f4"),
    ):
        file.write_bytes(rows.tobytes())
        np.testing.assert_array_equal(
            encode_texts(TEXTS, Encoder(), FeatureStore(tmp_path)), wanted
        )
