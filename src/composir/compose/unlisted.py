"""What a text changes beside phrases of the lexicon: the groups that it is near to, softly.

"As Disney would make it" is in no list, but nearer to "a cartoon" than to any colour. So each group
is exchanged as far as the text is near to one of its phrases, everyday things being a group too,
and what is asked for is drawn to these phrases: a text's own vector says less clearly what it
means, and holds words that mean nothing here. And a text may hold a phrase that it is not about
("graphite on white paper"): phrases are trusted as far as the whole text is near to them. [ours]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from composir.compose.exchanges import Exchange
from composir.compose.lexicon import packaged_lexicon
from composir.compose.retrieved import PhraseVectors, packaged_things
from composir.types import FloatArray


def unlisted_changes(
    images: FloatArray,
    texts: FloatArray,
    encode: PhraseVectors,
    *,
    temperature: float,
    nearness: float,
    drawn: float,
) -> FloatArray:
    """What texts ask for, less what pictures show of the same groups.

    Args:
        images: (n, D) float32, unit norm.
        texts: (n, D) float32, unit norm.
        encode: Gives the vectors of the lexicon's phrases and of everyday things.
        temperature: At which pictures and texts are taken to fit phrases.
        nearness: Temperature at which texts are taken to be of groups, by their nearest phrases.
        drawn: Share of what is asked for that is said by phrases, 0 to 1; the rest is the text.

    Returns:
        (n, D) float32.
    """
    known = _known(encode)
    change = np.float32(1.0 - drawn) * texts
    for share, vectors in zip(shares(_near(texts, known), nearness).T, known, strict=True):
        meant = shares(texts @ vectors.T, temperature) @ vectors
        shown = shares(images @ vectors.T, temperature) @ vectors
        change = change + share[:, None] * (np.float32(drawn) * meant - shown)
    return np.asarray(change, dtype=np.float32)


def trusted(
    texts: FloatArray,
    read: Sequence[Sequence[Exchange]],
    encode: PhraseVectors,
    *,
    doubt: float,
    ahead: float,
) -> list[tuple[float, ...]]:
    """How far texts are about the phrases that were found in them, 0 to 1 each.

    What a text names as replaced is always trusted.

    Args:
        texts: (n, D) float32, unit norm.
        read: What was found in each.
        encode: Gives the vectors of the lexicon's phrases and of everyday things.
        doubt: Temperature of cosines; small for all or nothing.
        ahead: By how much a phrase has to be nearer than all groups that the text does not name,
            to be trusted by half.
    """
    found = zip(texts, _near(texts, _known(encode)), read, strict=True)
    return [
        tuple(_trust(text, one, encode, _best_other(near, each) + ahead, doubt) for one in each)
        for text, near, each in found
    ]


def _trust(
    text: FloatArray, one: Exchange, encode: PhraseVectors, limit: float, doubt: float
) -> float:
    if one.shown not in phrase_groups():
        return 1.0
    lead = float(text @ encode([one.wanted])[0]) - limit
    return float(1.0 / (1.0 + np.exp(-np.clip(lead / doubt, -50.0, 50.0))))


def _best_other(near: FloatArray, found: Sequence[Exchange]) -> float:
    """How near a text is to the nearest of the groups that it has no phrase of."""
    named = {one.shown for one in found}
    pairs = zip(phrase_groups(), near, strict=True)
    return max(float(value) for phrases, value in pairs if phrases not in named)


@cache
def phrase_groups() -> tuple[tuple[str, ...], ...]:
    """Phrases that can stand in each other's place; everyday things come last."""
    return (*(column.phrases for column in packaged_lexicon().columns), packaged_things())


def _known(encode: PhraseVectors) -> list[FloatArray]:
    """The vectors of all groups, in one call of the model."""
    encode([phrase for phrases in phrase_groups() for phrase in phrases])
    return [encode(phrases) for phrases in phrase_groups()]


def _near(texts: FloatArray, known: Sequence[FloatArray]) -> FloatArray:
    """How near texts are to the nearest phrase of each group, (n, groups)."""
    return np.stack([(texts @ vectors.T).max(axis=1) for vectors in known], axis=1)


def shares(similarities: FloatArray, temperature: float) -> FloatArray:
    """Softmax of similarities along their last axis, which sums to 1."""
    fits = similarities / np.float32(temperature)
    raised = np.exp(fits - fits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)
