"""Which texts name a change, and which describe all of what is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from composir.compose.description import content_words, described_if_any, described_share


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("in red", 1),
        ("as a cartoon", 1),
        ("Make it darker, please!", 2),
        ("a short patterned skirt and a light sleeveless top", 6),
        ("turned-up jeans", 2),
        ("ein rotes Kleid über 20 Jahre", 5),
        ("", 0),
    ],
)
def test_words_that_carry_content(text: str, words: int) -> None:
    assert content_words(text) == words


def test_the_more_a_text_says_the_more_it_describes() -> None:
    said = [
        " ".join(["red", "wooden", "chair", "tall", "lamp", "grey", "wall", "rug"][:n])
        for n in range(9)
    ]
    shares = described_share(said)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares[:, 0], [0, 0, 0, 0, 0, 1 / 3, 2 / 3, 1, 1], atol=1e-6)


def test_a_batch_of_changes_alone_describes_nothing() -> None:
    assert described_if_any(["in red", "at night"]) is None
    both = described_if_any(["in red", "a dog on a beach, two boats, clouds, a red kite"])
    assert both is not None
    assert both()[:, 0].tolist() == [0.0, 1.0]
