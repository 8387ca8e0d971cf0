"""Which way pictures move when a phrase comes true of them, from triplets, in closed form.

A ridge regression over phrases that mean the same (`compose.changes.likeness`): few weights, each a
mean over all triplets that ask for its phrase, so that it holds for other pictures too. A network
trained by contrast on the same triplets learns what tells these very pictures apart. [ours]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from composir.compose.changes import PhraseSpace, asked_phrases, likeness
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

STEADINESS = 4.0
"""How many triplets of a phrase weigh as much as knowing nothing of it."""


def fit_moves(
    texts: Sequence[str],
    differences: FloatArray,
    model: EmbeddingModel,
) -> NDArray[np.float16]:
    """Learn the moves of all phrases that triplets ask for one at a time.

    Args:
        texts: n modification texts.
        differences: (n, D) float32, vectors of the targets less those of the references.
        model: Gives phrases' vectors, and says how alike they are.

    Returns:
        (2, m, D): phrases and their weights, as `compose.changes.PictureMoves` reads them.
    """
    rows = defaultdict[str, list[int]](list)
    for row, text in enumerate(texts):
        asked = asked_phrases(text)
        if len(asked) == 1:
            rows[asked[0]].append(row)
    if not rows:
        return np.zeros((2, 0, differences.shape[1]), np.float16)
    phrases = model.encode_texts(tuple(rows))
    means = np.stack([differences[of_one].mean(axis=0) for of_one in rows.values()])
    alike = likeness(phrases, phrases, PhraseSpace.of(model).sharpness)
    doubt = np.diag([STEADINESS / len(of_one) for of_one in rows.values()])
    weights = np.linalg.solve(alike + doubt, means)
    return np.stack([phrases, weights]).astype(np.float16)
