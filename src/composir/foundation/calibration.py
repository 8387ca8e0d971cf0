"""From judged answers to a bundle's confidence: logistic regression and its two limits."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from composir.gallery.confidence import ConfidenceCalibration

GOOD_SHARE, POOR_SHARE = 0.8, 0.08
GOOD_LIMITS, POOR_LIMITS = (0.6, 0.65, 0.7, 0.75, 0.8), (0.1, 0.15, 0.2, 0.25, 0.3)
Numbers = NDArray[np.float64]


def logistic(x: Numbers, y: Numbers, weights: Numbers) -> Numbers:
    """Coefficients (c,) by Newton's method, with a little ridge on standardised columns.

    `x` is (n, c), its first column 1; `y` (n,) is 0 or 1, with weights (n,).
    """
    scale = np.maximum(x.std(axis=0), 1e-9)
    scale[0] = 1.0
    unit, found = x / scale, np.zeros(x.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(unit @ found, -50.0, 50.0)))
        gradient = unit.T @ (weights * (p - y)) + 1e-3 * found
        curvature = (unit * (weights * p * (1 - p))[:, None]).T @ unit
        found = found - np.linalg.solve(curvature + 1e-3 * np.eye(len(found)), gradient)
    return np.asarray(found / scale, dtype=np.float64)


def chosen_limits(values: Numbers, right: Numbers, weights: Numbers) -> tuple[float, float]:
    """Where "good match" is right often enough, and "nothing matches well" wrong seldom enough.

    Of n confidences, with 1 where the answer was good, each with its weight.
    """

    def share(chosen: NDArray[np.bool_]) -> float:
        return float(np.average(right[chosen], weights=weights[chosen])) if chosen.any() else 0.0

    good = [limit for limit in GOOD_LIMITS if share(values >= limit) >= GOOD_SHARE]
    poor = [limit for limit in POOR_LIMITS if share(values < limit) <= POOR_SHARE]
    return min(good, default=GOOD_LIMITS[-1]), max(poor, default=POOR_LIMITS[0])


def coefficients(made: ConfidenceCalibration) -> dict[str, float]:
    """Those that differ from the general ones, rounded, as a bundle keeps them."""
    general, own = asdict(ConfidenceCalibration()), asdict(made)
    return {name: round(own[name], 4) for name in own if own[name] != general[name]}


def auc(values: Numbers, right: Numbers) -> float:
    """How often a good answer has a higher value than a bad one; NaN where one kind is missing.

    Of n values, with 1 where the answer was good.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    good, bad = right.sum(), (1 - right).sum()
    if good == 0 or bad == 0:
        return float("nan")
    return float((ranks[right > 0].sum() - good * (good + 1) / 2) / (good * bad))
