"""Move a picture's vector as the words move a sentence about it; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from composir.compose.arithmetic import ArithmeticComposer
from composir.compose.base import ComposedQueries, QueryBatch
from composir.compose.retrieved import PhraseVectors, check_count, nearest_things
from composir.compose.sphere import normalised
from composir.errors import QueryError
from composir.types import FloatArray

BEFORE, AFTER = "a photo of {}", "a photo of {} {text}"


@dataclass(frozen=True, slots=True)
class Direction(ArithmeticComposer):
    r"""Prompt directional vectors (arXiv 2502.07215), with phrases found again as captions.

    $$ q = \mathrm{normalise}\big(v + \alpha\, (T(F(I, x)) - T(F(I)))\big) $$

    with $x$ the words and $F(I)$ "a photo of" what fits the picture best; the difference is
    averaged over several such sentences. Where a bundle says nothing, it is the paper's: one
    sentence, and the picture moves as far as the sentence does.

    Attributes:
        alpha: How far to move.
        things: How many sentences.
    """

    alpha: float = 1.0
    things: int = 1
    vectors: PhraseVectors = field(init=False, repr=False, compare=False)
    name = "direction"

    def __post_init__(self) -> None:
        """Check the settings."""
        object.__setattr__(self, "vectors", PhraseVectors(self.model))
        if not self.alpha >= 0.0:
            raise QueryError(f"alpha must be at least 0, not {self.alpha}")
        check_count("things", self.things)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Move the reference's vector; with image or words missing, take the other."""
        return self.blended(batch, lambda v, _: self._moved(v, batch.texts))

    def _moved(self, image: FloatArray, texts: Sequence[str]) -> FloatArray:
        shown = nearest_things(image, self.vectors, int(self.things))
        before = [BEFORE.format(thing) for things in shown for thing in things]
        after = [
            AFTER.replace("{text}", text).replace("{}", thing)
            for text, things in zip(texts, shown, strict=True)
            for thing in things
        ]
        both = self.vectors([*before, *after])
        moved = (both[len(before) :] - both[: len(before)]).reshape(len(image), -1, image.shape[1])
        return normalised(image + np.float32(self.alpha) * moved.mean(axis=1))
