"""The composition gap: queries that neither the reference nor the text answers alone.

What `image` or `text` finds by itself needs no composing, so a method is worth most on the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from composir.bench.metrics import metric_label, parse_metric
from composir.bench.results import TaskResult

ALONE = ("image", "text")
"""The composers that use one part of a query."""
_FOUND_OR_NOT = {"recall", "recall_subset"}


def unanswered(
    composers: Sequence[str], tasks: Sequence[TaskResult]
) -> tuple[str, NDArray[np.bool_]] | None:
    """Which queries `image` and `text` both leave unanswered.

    Args:
        composers: Names of the methods' composers.
        tasks: One task's outcomes of each, on the same queries.

    Returns:
        What they are, in words, and (n,) bool; None where one of the two was not run, where no
        metric says whether a query was answered, or where no query is left.
    """
    names = (tasks[0].headline, *tasks[0].metrics)
    metric = next((name for name in names if parse_metric(name)[0] in _FOUND_OR_NOT), None)
    if metric is None or not set(ALONE) <= set(composers):
        return None
    alone = [tasks[composers.index(name)].outcomes([metric])[:, 0] for name in ALONE]
    left = np.max(alone, axis=0) == 0
    share = f"{left.sum():,} of {len(left):,} queries ({100 * left.mean():.1f} %)"
    told = f"composition gap: {share} that neither {' nor '.join(ALONE)} answers"
    return (f"{told} ({metric_label(metric)})", left) if left.any() else None
