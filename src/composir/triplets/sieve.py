"""What is kept: each filter drops for one reason, and every reason is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from composir.triplets.records import Pair, Skipped, SourceImage, SyntheticTriplet, WrittenText
from composir.triplets.words import words_of
from composir.types import FloatArray

SAME_PAIR = "the same pair again"
PER_REFERENCE = "the reference has its share already"
NEAR_DUPLICATE = "target and reference are near duplicates"
SAME_TEXT = "the same text for the same reference again"
SAYS_REFERENCE = "the text is a caption of the reference"
FITS_REFERENCE = "the text does not fit the target better than the reference"


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Where the filters draw the line.

    Attributes:
        max_similarity: Pictures whose cosine is at least this are near duplicates.
        margin: By how much (cosine) a text's claim must fit the target better.
        per_reference: Most triplets of one reference.
    """

    max_similarity: float = 0.97
    margin: float = 0.0
    per_reference: int = 4


class Sieve:
    """Drops pairs before anything is written for them, and triplets afterwards; counts both."""

    def __init__(
        self,
        settings: FilterSettings,
        images: Sequence[SourceImage],
        matrix: FloatArray,
        encode: Callable[[Sequence[str]], FloatArray],
    ) -> None:
        """Sieve pairs of pictures with vectors `matrix` (n, D); `encode`: texts to (m, D)."""
        self._settings, self._images = settings, images
        self._matrix, self._encode = matrix, encode
        self._pairs: set[tuple[int, int]] = set()
        self._texts: set[tuple[int, str]] = set()
        self._per_reference: Counter[int] = Counter()
        self.dropped: Counter[str] = Counter()

    def is_worth_writing(self, pair: Pair) -> bool:
        """Whether a pair may become a triplet at all; it is remembered, and refused next time."""
        reason = self._against(pair)
        if reason:
            self.dropped[reason] += 1
            return False
        self._pairs.add((pair.reference, pair.target))
        return True

    def _against(self, pair: Pair) -> str:
        if (pair.reference, pair.target) in self._pairs:
            return SAME_PAIR
        if self._per_reference[pair.reference] >= self._settings.per_reference:
            return PER_REFERENCE
        if self._similarity(pair) >= self._settings.max_similarity:
            return NEAR_DUPLICATE
        return ""

    def _similarity(self, pair: Pair) -> float:
        return float(self._matrix[pair.reference] @ self._matrix[pair.target])

    def passing(
        self, pairs: Sequence[Pair], texts: Sequence[WrittenText | Skipped], limit: int
    ) -> list[SyntheticTriplet]:
        """Triplets that pass, at most `limit`; what comes after the last one is not looked at."""
        fits = self._fits(pairs, texts)
        kept: list[SyntheticTriplet] = []
        for pair, text, fit in zip(pairs, texts, fits, strict=True):
            if len(kept) == limit:
                break
            reason = text.reason if isinstance(text, Skipped) else self._against_text(pair, text)
            if not reason and fit[0] - fit[1] < self._settings.margin:
                reason = FITS_REFERENCE
            if reason or isinstance(text, Skipped):
                self.dropped[reason] += 1
                continue
            self._per_reference[pair.reference] += 1
            self._texts.add((pair.reference, _key(text.text)))
            kept.append(SyntheticTriplet(pair, text, self._similarity(pair), *fit))
        return kept

    def _fits(
        self, pairs: Sequence[Pair], texts: Sequence[WrittenText | Skipped]
    ) -> list[tuple[float, float]]:
        """Cosines of each claim with target and reference."""
        claims = [text.claim for text in texts if isinstance(text, WrittenText)]
        vectors = iter(self._encode(claims) if claims else ())
        nothing = np.zeros(self._matrix.shape[1])
        fits = []
        for pair, text in zip(pairs, texts, strict=True):
            claim = next(vectors) if isinstance(text, WrittenText) else nothing
            target, reference = self._matrix[pair.target], self._matrix[pair.reference]
            fits.append((float(claim @ target), float(claim @ reference)))
        return fits

    def _against_text(self, pair: Pair, text: WrittenText) -> str:
        if self._per_reference[pair.reference] >= self._settings.per_reference:
            return PER_REFERENCE
        key = _key(text.text)
        if (pair.reference, key) in self._texts:
            return SAME_TEXT
        if key in {_key(caption) for caption in self._images[pair.reference].captions}:
            return SAYS_REFERENCE
        return ""


def _key(text: str) -> str:
    return " ".join(words_of(text))
