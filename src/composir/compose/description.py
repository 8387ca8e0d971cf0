"""Whether a text says what changes, or describes all of what is asked for.

"In red" names a change and leaves the rest to the reference. "A short patterned skirt and a light
sleeveless top" leaves little to it: arithmetic of changes goes wrong there, and a plain sum of the
reference and the text finds more. What tells them apart is how much a text says, counted in words
that carry content. [ours]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from composir.compose.negation_words import word_set
from composir.data.function_words import COMMON
from composir.types import FloatArray

CHANGE, DESCRIPTION = 4, 7
"""Words of content that a change has at most, and a description at least; between them, partly."""

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
FUNCTION_WORDS = COMMON | word_set(
    "all change changed give like made make makes more only put same show take turn turned"
)
"""Words that say nothing of a picture, and verbs that only ask for a change."""


def content_words(text: str) -> int:
    """How many words of a text carry content."""
    return sum(word.lower() not in FUNCTION_WORDS for word in _WORD.findall(text))


def described_share(texts: Sequence[str]) -> FloatArray:
    """How far texts describe all of what is asked for, (n, 1) float32, 0 to 1."""
    counts = np.array([[content_words(text)] for text in texts], dtype=np.float32)
    share = (counts - CHANGE) / np.float32(DESCRIPTION - CHANGE)
    return np.asarray(np.clip(share, 0.0, 1.0))


def described_if_any(texts: Sequence[str]) -> Callable[[], FloatArray] | None:
    """The shares of a batch, for `compose.blend`; None where every text names a change."""
    shares = described_share(texts)
    return (lambda: shares) if shares.any() else None
