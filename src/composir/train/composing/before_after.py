"""What stage 2 changed: arithmetic, stage 1 and stage 2 on held-out triplets, side by side.

A query is a blend of four vectors, and so are its scores; each vector's scores are computed once,
and trying weights is adding them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from composir.bench.significance import Outcomes, PairedTest, bootstrap, paired_test
from composir.errors import TrainingError
from composir.train.composing.mining import IndexedTriplets
from composir.train.composing.recall import CUTS, found_within
from composir.types import FloatArray

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What queries are blended from, (m, D) float32 each, unit norm.

    Attributes:
        composed: q, the composed sentences.
        sentence: s, the references' own sentences.
        image: v, the references, as the gallery or the query side's own graph gives it.
        text: t, the modifications.
        changes: By weight of a blend, `exchange` and `learned`, not of unit norm; where wanted.
    """

    composed: FloatArray
    sentence: FloatArray
    image: FloatArray
    text: FloatArray
    changes: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One line of the table.

    Attributes:
        name: The method, as shown.
        weights: Of its blend.
        recall: Percent, by `CUTS`.
        low: Lower ends of the 95 % intervals.
        high: Upper ends.
        found: (m, len(CUTS)) float64, whether each triplet found a target, for paired comparisons.
    """

    name: str
    weights: Weights
    recall: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    found: Outcomes


class BlendScores:
    """BlendScores of every part of a blend over all images, (m, n) each."""

    def __init__(self, vectors: Vectors, images: FloatArray, triplets: IndexedTriplets) -> None:
        """Compute them.

        Args:
            vectors: To blend.
            images: (n, D) float32, unit norm.
            triplets: m of them.
        """
        self.triplets = triplets
        self._parts = {
            "sentence": vectors.composed @ images.T,
            "direction": (vectors.composed - vectors.sentence) @ images.T,
            "image": vectors.image @ images.T,
            "text": vectors.text @ images.T,
            **{name: change @ images.T for name, change in vectors.changes.items()},
        }

    def found(self, weights: Weights) -> Outcomes:
        """(m, len(CUTS)) float64, 1 where a target is among the first k."""
        total = sum(np.float32(w) * self._parts[name] for name, w in weights.items() if w)
        if isinstance(total, int):
            raise TrainingError("all weights of a blend are 0")
        return found_within(total, self.triplets)

    def mean_recall(self, weights: Weights) -> float:
        """Mean of R@1, R@5 and R@10, percent: what choices go by."""
        return 100.0 * float(self.found(weights).mean())


def row(name: str, scores: BlendScores, weights: Weights) -> MethodRow:
    """Measure one method."""
    return row_of(name, scores.found(weights), weights)


def row_of(name: str, found: Outcomes, weights: Weights) -> MethodRow:
    """The line of a method."""
    intervals = bootstrap([found], seed=0)
    return MethodRow(
        name,
        {key: value for key, value in weights.items() if value},
        tuple(100.0 * interval.value for interval in intervals),
        tuple(100.0 * interval.low for interval in intervals),
        tuple(100.0 * interval.high for interval in intervals),
        found,
    )


def compared(first: MethodRow, second: MethodRow) -> PairedTest:
    """Difference in R@1 of two methods on the same triplets, as a share."""
    return paired_test([first.found[:, :1]], [second.found[:, :1]], seed=0)[0]


def as_markdown(rows: Sequence[MethodRow], asked: str, searched: str) -> str:
    """The table for card and terminal."""
    head = " | ".join(f"R@{cut}" for cut in CUTS)
    lines = [f"| method | {head} | weights |", f"|---|{'---|' * len(CUTS)}---|"]
    for one in rows:
        cells = " | ".join(
            f"{value:.1f} ({low:.1f}-{high:.1f})"
            for value, low, high in zip(one.recall, one.low, one.high, strict=True)
        )
        weights = ", ".join(f"{name} {value:g}" for name, value in one.weights.items())
        lines.append(f"| {one.name} | {cells} | {weights} |")
    note = f"{asked}, {searched}, percent, 95 % intervals."
    return "\n".join([*lines, "", note])


def as_records(rows: Sequence[MethodRow]) -> list[dict[str, object]]:
    """The table for programs."""
    return [
        {
            "method": one.name,
            "weights": dict(one.weights),
            **{f"recall@{cut}": value for cut, value in zip(CUTS, one.recall, strict=True)},
        }
        for one in rows
    ]
