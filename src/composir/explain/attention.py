"""Attention in words: where it is strongest and how much of the picture it covers."""

from __future__ import annotations

import numpy as np

from composir.types import FloatArray


def strongest_place(attention: FloatArray) -> str:
    """Where an attention map is strongest, in words, e.g. `upper left`."""
    row, column = np.unravel_index(int(attention.argmax()), attention.shape)
    down = ("upper", "middle", "lower")[_third(int(row), attention.shape[0])]
    across = ("left", "centre", "right")[_third(int(column), attention.shape[1])]
    return "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"


def spread(attention: FloatArray) -> float:
    """Share of the picture that it looks at, 0 to 1: e to the entropy, over the positions."""
    shares = np.maximum(attention.ravel() / max(float(attention.sum()), 1e-12), 1e-12)
    return float(np.exp(-(shares * np.log(shares)).sum()) / shares.size)


def _third(index: int, count: int) -> int:
    return min(2, int(3 * (index + 0.5) / count))
