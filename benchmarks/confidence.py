"""Calibrates and tests the gallery's confidence on queries with no, few and many right answers.

    python benchmarks/confidence.py [--model NAME|FOLDER] --data FOLDER [--write] [--ship]

Every figure is for domains that the coefficients were not fitted on: each domain is judged by
coefficients of all others. What is shipped is then fitted on all of them. `--write` writes the
tables and the plot into the repository, `--ship` coefficients and mean picture into the model's
bundle. "Before" are mini's coefficients of 2026-11-21, which looked at how far the best score
stands out, and at that score.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from confidence_fit import (
    GOOD_SHARE,
    KINDS,
    POOR_SHARE,
    Calibrations,
    Example,
    Material,
    Numbers,
    answers,
    coefficients,
    fitted,
    gather,
    weights_of,
)
from confidence_plot import reliability_plot
from numpy.typing import NDArray

from composir.bench.vectors import VectorCache
from composir.gallery.confidence import ConfidenceCalibration, Judge
from composir.model import Bundle, load_model
from composir.train.foundation.card import describe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "confidence.md"
PLOT = ROOT / "docs" / "images" / "confidence.svg"
MEAN = "mean_image.npy"
POOR_BEFORE = 0.25
BEFORE = {
    "words": ConfidenceCalibration(-10.570713, -0.469012, 44.074719),
    "image": ConfidenceCalibration(-6.767654, 0.02774, 16.694096),
    "general": ConfidenceCalibration(-2.0, 1.0),
}
NDArrayBool: TypeAlias = NDArray[np.bool_]
NDArrayInt: TypeAlias = NDArray[np.int64]
BINS = 10
SHARES = (
    (0.0, 0.0, "none"),
    (1e-9, 0.006, "few"),
    (0.006, 0.1, "1 to 10 %"),
    (0.1, 1.1, "half or all"),
)


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibrate and test the confidence.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors.sqlite")
    parser.add_argument("--write", action="store_true", help="write tables and plot")
    parser.add_argument("--ship", action="store_true", help="write into the model's bundle")
    asked = parser.parse_args()
    model = load_model(asked.model)
    material = gather(model, asked.data, VectorCache(asked.cache))
    judged = [judge_kind(kind, material) for kind in KINDS]
    text = report(judged, material)
    print(text)
    if asked.write:
        RESULTS.write_text(text, encoding="utf-8")
        PLOT.write_text(reliability_plot(curves(judged)), encoding="utf-8")
    if asked.ship:
        ship(model.bundle, {one.kind: coefficients(one.made) for one in judged}, material)


def ship(bundle: Bundle, made: Calibrations, material: Material) -> None:
    """Put coefficients and the mean picture into a bundle."""
    np.save(bundle.folder / MEAN, material.mean)
    describe(bundle.folder, bundle.manifest, confidence=made, mean_image=MEAN)


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
    # The judge takes the level from the background: one picture at the level is enough to say it.
    middle = np.full(1, example.zero + example.level, dtype=np.float64).astype(np.float32)
    return Judge(made, middle, example.size, example.zero, example.zero).value(example.best)


def value_before(example: Example) -> float:
    """By the coefficients of old, which only the default composer had."""
    if example.composer not in {"", "compose"}:
        made = BEFORE["general"]
    else:
        made = BEFORE["words" if example.kind == "words" else "image"]
    logit = made.bias + made.standout_weight * example.standout
    logit += made.score_weight * example.plain_best
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -50, 50))))


def chosen_limits(values: Numbers, right: Numbers, weights: Numbers) -> tuple[float, float]:
    """Where "good match" is right often enough, and "nothing matches well" wrong seldom enough."""
    grid = np.round(np.arange(0.05, 1.0, 0.05), 2)

    def share(chosen: NDArrayBool) -> float:
        return float(np.average(right[chosen], weights=weights[chosen])) if chosen.any() else 0.0

    good = [t for t in grid if t >= 0.5 and share(values >= t) >= GOOD_SHARE]
    poor = [t for t in grid if t <= 0.4 and share(values < t) <= POOR_SHARE]
    return float(min(good, default=0.95)), float(max(poor, default=0.05))


def chosen_gate(made: ConfidenceCalibration, examples: Sequence[Example]) -> float:
    """From which value on pictures are relevant: the best mean F1 over galleries with answers."""
    grid = np.round(np.arange(0.05, 1.0, 0.05), 2)
    found = [gate_scores(made, e, grid) for e in examples if e.asked.share >= 0.01]
    return float(grid[np.mean(found, axis=0).argmax()])


def gate_scores(made: ConfidenceCalibration, example: Example, grid: Numbers) -> Numbers:
    """F1 of "relevant" on one gallery for each value of the grid."""
    slope = made.excess_weight
    best = np.log(value(example, made) / max(1 - value(example, made), 1e-12))
    logits = best + slope * (example.scores - example.best)
    values = 1.0 / (1.0 + np.exp(-logits))
    passed = values[None, :] >= grid[:, None]
    hits = (passed & example.asked.right).sum(axis=1)
    return np.asarray(2 * hits / np.maximum(passed.sum(axis=1) + example.asked.right.sum(), 1))


def auc(values: Numbers, right: Numbers) -> float:
    """How often a good answer has a higher value than a bad one."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    good, bad = right.sum(), (1 - right).sum()
    if good == 0 or bad == 0:
        return float("nan")
    return float((ranks[right > 0].sum() - good * (good + 1) / 2) / (good * bad))


def report(judged: Sequence[Judged], material: Material) -> str:
    """All tables as Markdown."""
    parts = [
        "# How far the confidence can be trusted\n",
        "Printed by `python benchmarks/confidence.py --data …`. Each domain is judged by "
        'coefficients fitted on all others. "Before" are the coefficients of 2026-11-21.\n',
        "## Telling good answers from bad ones\n",
        discrimination(judged),
        "## By how much of the gallery is right\n",
        by_share(judged),
        "## Reliability\n",
        reliability(judged),
        "## The three words\n",
        words(judged),
        "## The same thing said another way\n",
        phrasing(judged[0]),
        "## Words of everyday, asked of 500 photographs\n",
        everyday(judged[0].made, material),
        "## By composer\n",
        composers(judged),
        "## Copies of the picture that was asked about\n",
        copies(judged, material),
        "## Coefficients, fitted on all domains\n",
        "```\n" + "\n".join(f"{j.kind}: {coefficients(j.made)}" for j in judged) + "\n```\n",
    ]
    return "\n".join(parts)


def table(head: str, rows: Sequence[Sequence[object]]) -> str:
    names = head.split("|")
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def pair(form: str, measure: Callable[[Numbers], float], one: Judged) -> list[str]:
    return [form.format(measure(values)) for values in (one.before, one.now)]


def brier(one: Judged, chosen: Numbers | None = None) -> Callable[[Numbers], float]:
    picked = np.ones(len(one.right), dtype=bool) if chosen is None else chosen.astype(bool)
    return lambda values: float(
        np.average((values - one.right)[picked] ** 2, weights=one.weights[picked])
    )


def discrimination(judged: Sequence[Judged]) -> str:
    rows: list[list[object]] = []
    for one in judged:
        domains = np.array([e.asked.domain for e in one.examples])
        for domain in ("all", *sorted(set(domains))):
            at = np.ones(len(domains), dtype=bool) if domain == "all" else domains == domain
            both = [f"{auc(v[at], one.right[at]):.3f}" for v in (one.before, one.now)]
            briers = [f"{brier(one, at.astype(float))(v):.3f}" for v in (one.before, one.now)]
            rows.append(
                [one.kind, domain, f"{at.sum():,}", f"{one.right[at].mean():.0%}", *both, *briers]
            )
    return table("query|domain|queries|good|AUC before|AUC now|Brier before|Brier now", rows)


def by_share(judged: Sequence[Judged]) -> str:
    rows: list[list[object]] = []
    for one in judged:
        shares = np.array([e.asked.share for e in one.examples])
        for low, high, name in SHARES:
            at = (shares >= low) & (shares <= high if low == 0 else shares < high)
            if not at.any():
                continue
            good = at & (one.right > 0)
            row: list[object] = [one.kind, name, f"{at.sum():,}", f"{one.right[at].mean():.0%}"]
            row += [f"{v[at].mean():.2f}" for v in (one.before, one.now)]
            for values, limit in ((one.before, POOR_BEFORE), (one.now, one.made.poor)):
                row.append(f"{(values[good] < limit).mean():.0%}" if good.any() else "")
            rows.append(row)
    head = "query|right pictures|queries|good|mean before|mean now|"
    return table(head + "good but called bad, before|now", rows)


def bins(values: Numbers, one: Judged) -> list[tuple[float, float, int]]:
    """For each bin: mean value, share of good answers, queries."""
    place = np.minimum((values * BINS).astype(int), BINS - 1)
    found = []
    for number in range(BINS):
        at = place == number
        if at.sum() >= 20:
            weights = one.weights[at]
            found.append(
                (
                    float(np.average(values[at], weights=weights)),
                    float(np.average(one.right[at], weights=weights)),
                    int(at.sum()),
                )
            )
    return found


def curves(judged: Sequence[Judged]) -> dict[str, dict[str, list[tuple[float, float, int]]]]:
    """Points of the plot by kind of query."""
    return {
        one.kind: {"before": bins(one.before, one), "now": bins(one.now, one)} for one in judged
    }


def reliability(judged: Sequence[Judged]) -> str:
    rows = [
        [one.kind, f"{mean:.2f}", f"{good:.2f}", f"{count:,}"]
        for one in judged
        for mean, good, count in bins(one.now, one)
    ]
    return "![reliability](../../docs/images/confidence.svg)\n\n" + table(
        "query|confidence|good|queries", rows
    )


def words(judged: Sequence[Judged]) -> str:
    rows = []
    for one in judged:
        for name, at in (
            ("good match", one.now >= one.made.good),
            ("uncertain", (one.now >= one.made.poor) & (one.now < one.made.good)),
            ("nothing matches well", one.now < one.made.poor),
        ):
            share = np.average(at, weights=one.weights)
            good = np.average(one.right[at], weights=one.weights[at]) if at.any() else float("nan")
            rows.append([one.kind, name, f"{share:.0%}", f"{good:.0%}"])
    limits = "; ".join(f"{j.kind} {j.made.good:g} and {j.made.poor:g}" for j in judged)
    said = f"From {GOOD_SHARE:.0%} good on, and below {POOR_SHARE:.0%}: limits {limits}.\n\n"
    return said + table("query|said|of queries|good", rows)


def phrasing(one: Judged) -> str:
    """How much the value changes where the same noun is asked of the same gallery."""
    rows = []
    for name in ("a noun", "a photo"):
        pairs = _pairs(one, name)
        changes = [np.abs(v[pairs[:, 0]] - v[pairs[:, 1]]) for v in (one.before, one.now)]
        rows.append(
            [f"noun and {name}", f"{len(pairs):,}"]
            + [f"{c.mean():.3f}" for c in changes]
            + [f"{np.quantile(c, 0.95):.3f}" for c in changes]
        )
    return table("between|queries|mean change before|now|95th percentile before|now", rows)


def _pairs(one: Judged, phrase: str) -> NDArrayInt:
    galleries: dict[tuple[int, float], int] = {}
    for place, example in enumerate(one.examples):
        if example.asked.kind == "noun":
            galleries[id(example.asked.gallery), example.asked.share] = place
    return np.array(
        [
            (galleries[id(e.asked.gallery), e.asked.share], place)
            for place, e in enumerate(one.examples)
            if e.asked.kind == phrase
        ]
    )


def everyday(made: ConfidenceCalibration, material: Material) -> str:
    """What is said of nouns that many, few and none of the photographs show."""
    rows = []
    for example in material.everyday:
        first = np.argsort(-example.scores, kind="stable")[:5]
        row: list[object] = [example.asked.text, int(example.asked.right.sum())]
        row.append(int(example.asked.right[first].sum()))
        rows.append([*row, f"{value_before(example):.2f}", f"{value(example, made):.2f}"])
    return table("words|shown by|of the first five|before|now", rows)


def composers(judged: Sequence[Judged]) -> str:
    rows = []
    for one in judged:
        names = np.array([e.composer for e in one.examples])
        for name in dict.fromkeys(names):
            at = names == name
            if not name:
                continue
            rows.append(
                [name, f"{one.right[at].mean():.0%}"]
                + [f"{v[at].mean():.2f}" for v in (one.before, one.now)]
                + [f"{auc(v[at], one.right[at]):.3f}" for v in (one.before, one.now)]
                + [f"{brier(one, at.astype(float))(v):.3f}" for v in (one.before, one.now)]
            )
    head = "composer|good|mean before|mean now|AUC before|AUC now|Brier before|Brier now"
    return table(head, rows)


def copies(judged: Sequence[Judged], material: Material) -> str:
    """Altered copies: exact ones are certain by rule, these show what the value alone says."""
    made = next(one.made for one in judged if one.kind == "image")
    rows = []
    altered = [e for e in material.examples if e.asked.kind == "copy"]
    for name in dict.fromkeys(e.asked.altered for e in altered):
        some = [e for e in altered if e.asked.altered == name]
        values = np.array([value(e, made) for e in some])
        rows.append(
            [
                name,
                len(some),
                f"{np.mean([e.answered for e in some]):.0%}",
                f"{values.mean():.2f}",
                f"{np.quantile(values, 0.05):.2f}",
            ]
        )
    return table("altered|queries|found first|mean value|5th percentile", rows)


if __name__ == "__main__":
    main()
