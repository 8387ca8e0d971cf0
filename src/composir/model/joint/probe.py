"""A few fixed inputs by which an encoder is known again, and by which it shows that it sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from composir.errors import ModelError
from composir.model.base import Parts
from composir.types import FloatArray

WORDS = "a red bicycle in front of a white wall"
PROBES = 4
SAME = 0.99
"""Cosine of two vectors of one input: arithmetic in half precision, and in batches, differs."""
_ALIKE = 0.99999
_SIDE = 224


class BlindError(ModelError):
    """An encoder leaves out a part of its input."""

    code = "blind-encoder"


def probe() -> list[Parts]:
    """Two pictures, words, and the first picture with the words."""
    ramp = np.linspace(0, 255, _SIDE, dtype=np.uint8)
    falling = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 255 - ramp[None]), axis=2)
    stripes = np.where((np.arange(_SIDE) // 28 % 2 == 0)[:, None, None], 230, 20)
    first = Image.fromarray(falling)
    second = Image.fromarray(np.broadcast_to(stripes, (_SIDE, _SIDE, 3)).astype(np.uint8))
    return [(first,), (second,), (WORDS,), (first, WORDS)]


def check_sight(vectors: FloatArray, who: str) -> None:
    """Refuse an encoder that leaves out a part of its input, as servers of text models do.

    Args:
        vectors: Of `probe`, (4, D) float32, unit norm.
        who: For the message.
    """
    first, second, words, both = vectors
    blind = f"{who} gives vectors, but does not look at pictures"
    for one, other, told in (
        (first, second, blind),
        (both, words, f"{blind} that come with words"),
        (both, first, f"{who} gives vectors, but does not read words that come with a picture"),
    ):
        if float(one @ other) > _ALIKE:
            raise BlindError(f"{told}: a joint encoder has to take both together")


def landmarks(vectors: FloatArray) -> list[int]:
    """A rough mark of a space: where, and to which side, probes differ most.

    It is the same for vectors that differ by rounding alone, but for rare ties, and another one for
    nearly every other model.

    Args:
        vectors: Of `probe`, (4, D) float32.
    """
    apart = np.stack([vectors[0] - vectors[1], vectors[2] - vectors[0], vectors[3] - vectors[2]])
    places = np.abs(apart).argmax(axis=1)
    sides = np.sign(apart[np.arange(len(places)), places])
    return [int(side * (place + 1)) for side, place in zip(sides, places, strict=True)]


def least_cosine(one: FloatArray, other: FloatArray) -> float:
    """The least cosine of rows of two arrays, (p, D) of unit norm."""
    return float((one * other).sum(axis=1).min())


def check_same(now: FloatArray, then: Sequence[FloatArray] | FloatArray, name: str) -> float:
    """Refuse an encoder that is another one by now.

    Args:
        now: (p, D) float32, unit norm.
        then: The same when it was added.
        name: Of the model.
    """
    found = least_cosine(now, np.asarray(then))
    if found < SAME:
        raise ModelError(
            f"the model {name} gives other vectors than when it was added (cosine {found:.3f}): "
            "there is another model behind it by now, whose vectors cannot be mixed with those of "
            "a gallery. Nothing was changed; bring the old one back, or add the new one under "
            f"another name and index again beside: composir models add … --name {name}-new"
        )
    return found
