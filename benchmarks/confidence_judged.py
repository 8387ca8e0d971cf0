"""What the judge says of labelled queries, with coefficients of other domains, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from confidence_fit import (
    Example,
    Material,
    answers,
    fitted,
    weights_of,
)
from numpy.typing import NDArray

from composir.foundation.calibration import Numbers, chosen_limits
from composir.gallery.confidence import ConfidenceCalibration, Judge

BEFORE = {
    "words": ConfidenceCalibration(-10.570713, -0.469012, 44.074719),
    "image": ConfidenceCalibration(-6.767654, 0.02774, 16.694096),
    "general": ConfidenceCalibration(-2.0, 1.0),
}
GATES = np.round(np.arange(0.05, 1.0, 0.05), 2)
SHARES = (
    (0.0, 0.0, "none"),
    (1e-9, 0.006, "below 0.6 %"),
    (0.006, 0.1, "below 10 %"),
    (0.1, 1.1, "10 % to all"),
)
NDArrayBool: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """Examples of one kind with what was thought of them before and now.

    Attributes:
        kind: Of query.
        examples: All of them.
        before: (n,) by the coefficients of old.
        now: (n,) each by coefficients of the other domains.
        made: Coefficients fitted on all, with thresholds.
    """

    kind: str
    examples: list[Example]
    before: Numbers
    now: Numbers
    made: ConfidenceCalibration

    @property
    def right(self) -> Numbers:
        """1 where the answer is good."""
        return answers(self.examples)

    @property
    def weights(self) -> Numbers:
        """Of the examples."""
        return weights_of(self.examples)


def judge_kind(kind: str, material: Material) -> Judged:
    """Judge all examples of a kind, each by coefficients of the other domains."""
    examples = material.of(kind)
    now = np.zeros(len(examples))
    for domain in sorted({e.asked.domain for e in examples}):
        others = fitted(kind, [e for e in examples if e.asked.domain != domain])
        for place, example in enumerate(examples):
            if example.asked.domain == domain:
                now[place] = value(example, others)
    before = np.array([value_before(example) for example in examples])
    made = fitted(kind, examples)
    good, poor = chosen_limits(now, answers(examples), weights_of(examples))
    made = replace(made, good=good, poor=poor, relevant=chosen_gate(made, examples))
    return Judged(kind, examples, before, now, made)


def value(example: Example, made: ConfidenceCalibration) -> float:
    """What the product's own judge says of an example."""
    return Judge(made, example.scores, example.size, example.zero).value(example.best)


def value_before(example: Example) -> float:
    """By the coefficients of old, which only the default composer had."""
    if example.composer not in {"", "compose"}:
        made = BEFORE["general"]
    else:
        made = BEFORE["words" if example.kind == "words" else "image"]
    logit = made.bias + made.standout_weight * example.standout
    logit += made.score_weight * example.plain_best
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -50, 50))))


def chosen_gate(made: ConfidenceCalibration, examples: Sequence[Example]) -> float:
    """From which value on pictures are relevant.

    What counts is F0.5 over the pictures of a gallery, which minds wrong ones twice as much as
    missed ones; where none is right, 1 if none passes. Galleries of few, more, many and no right
    pictures count the same.
    """
    shares = np.array([e.asked.share for e in examples])
    found = np.array([gate_scores(made, e) for e in examples])
    means = [found[at].mean(axis=0) for _, at in share_groups(shares)]
    return float(GATES[int(np.mean(means, axis=0).argmax())])


def gate_scores(made: ConfidenceCalibration, example: Example) -> Numbers:
    """F0.5 of "relevant" on one gallery for each gate."""
    first = value(example, made)
    logit = np.log(first / max(1.0 - first, 1e-12))
    logits = logit + made.excess_weight * (example.scores - example.best)
    values = 1.0 / (1.0 + np.exp(-logits))
    passed = values[None, :] >= GATES[:, None]
    hits, right = (passed & example.asked.right).sum(axis=1), example.asked.right.sum()
    if right == 0:
        return np.asarray(~passed.any(axis=1), dtype=np.float64)
    return np.asarray(1.25 * hits / (passed.sum(axis=1) + 0.25 * right), dtype=np.float64)


def share_groups(shares: Numbers) -> list[tuple[str, NDArrayBool]]:
    """Which galleries have no, few, more and many right pictures."""
    groups = [
        (name, (shares >= low) & (shares <= high if low == 0 else shares < high))
        for low, high, name in SHARES
    ]
    return [(name, at) for name, at in groups if at.any()]
