"""Which rows a step sees: a function of the step's number alone, so that runs resume exactly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def drawn_rows(rows: int, step: int, count: int, seed: int) -> list[int]:
    """The step's part of an endless sequence of seeded shuffles: every row once an epoch."""
    places = range((step - 1) * count, step * count)
    orders = {epoch: _order(seed, epoch, rows) for epoch in {place // rows for place in places}}
    return [int(orders[place // rows][place % rows]) for place in places]


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, rows)).permutation(rows)
