"""What a text changes that has no phrase of the lexicon: the groups that it is near to, softly.

"As Disney would make it" is in no list, but nearer to "a cartoon" than to any colour. So each group
is exchanged as far as the text is near to one of its phrases, everyday things being a group too,
and what is asked for is drawn to these phrases: a text's own vector says less clearly what it
means, and holds words that mean nothing here. [ours]
"""

from __future__ import annotations

import numpy as np

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
    groups = (*(column.phrases for column in packaged_lexicon().columns), packaged_things())
    encode([phrase for phrases in groups for phrase in phrases])  # all in one call of the model
    known = [encode(phrases) for phrases in groups]
    near = np.stack([(texts @ vectors.T).max(axis=1) for vectors in known], axis=1)
    change = np.float32(1.0 - drawn) * texts
    for share, vectors in zip(shares(near, nearness).T, known, strict=True):
        meant = shares(texts @ vectors.T, temperature) @ vectors
        shown = shares(images @ vectors.T, temperature) @ vectors
        change = change + share[:, None] * (np.float32(drawn) * meant - shown)
    return np.asarray(change, dtype=np.float32)


def shares(similarities: FloatArray, temperature: float) -> FloatArray:
    """Softmax of similarities along their last axis, which sums to 1."""
    fits = similarities / np.float32(temperature)
    raised = np.exp(fits - fits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)
