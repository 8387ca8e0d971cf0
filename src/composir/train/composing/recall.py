"""Recall of triplets over a gallery of cached vectors, the reference taken out."""

from __future__ import annotations

import numpy as np

from composir.bench.significance import Outcomes
from composir.train.composing.mining import IndexedTriplets, Rows
from composir.types import FloatArray

CUTS = (1, 5, 10)


def ranks(scores: FloatArray, triplets: IndexedTriplets) -> Rows:
    """Rank of the best target of each triplet; the reference does not take part, ties count ahead.

    Args:
        scores: (m, n), higher is better.
        triplets: Their references and targets are columns.

    Returns:
        (m,) int64, from 1.
    """
    found = np.empty(len(triplets), dtype=np.int64)
    for row, line in enumerate(scores):
        targets = sorted(triplets.targets[row])
        ahead = line >= line[targets].max()
        ahead[[*targets, triplets.references[row]]] = False
        found[row] = 1 + np.count_nonzero(ahead)
    return found


def found_within(scores: FloatArray, triplets: IndexedTriplets) -> Outcomes:
    """(m, len(CUTS)) float64, 1 where a target is among the first k; arguments as of `ranks`."""
    place = ranks(scores, triplets)
    return np.stack([place <= cut for cut in CUTS], axis=1).astype(np.float64)


def recalls(scores: FloatArray, triplets: IndexedTriplets) -> dict[str, float]:
    """Recall at 1, 5 and 10, percent: the share of triplets with any target among the first k."""
    found = ranks(scores, triplets)
    return {f"recall@{k}": 100.0 * float((found <= k).mean()) for k in CUTS}
