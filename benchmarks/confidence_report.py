"""The tables of `benchmarks/confidence.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from confidence_fit import Material
from confidence_judged import (
    GATES,
    Judged,
    gate_scores,
    share_groups,
    value,
    value_before,
)
from numpy.typing import NDArray

from composir.foundation.calibration import GOOD_SHARE, POOR_SHARE, Numbers, auc, coefficients
from composir.gallery.confidence import ConfidenceCalibration

BINS = 10
POOR_BEFORE = 0.25
NDArrayInt: TypeAlias = NDArray[np.int64]


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
        "## What passes for relevant where hits are sorted by date\n",
        gates(judged),
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
        for name, at in share_groups(np.array([e.asked.share for e in one.examples])):
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


def gates(judged: Sequence[Judged]) -> str:
    """F0.5 of the gate by how much of the gallery is right."""
    rows = []
    for one in judged:
        place = int(np.flatnonzero(one.made.relevant == GATES)[0])
        scores = np.array([gate_scores(one.made, e)[place] for e in one.examples])
        groups = share_groups(np.array([e.asked.share for e in one.examples]))
        rows += [
            [one.kind, one.made.relevant, name, f"{scores[at].mean():.2f}"] for name, at in groups
        ]
    note = "In galleries without a right picture: the share of queries where none passes.\n\n"
    return note + table("query|from value|right pictures|F0.5", rows)


def everyday(made: ConfidenceCalibration, material: Material) -> str:
    """What is said of nouns that many, few and none of the photographs show."""
    rows = []
    for example in material.everyday:
        found = [int(example.asked.right.sum()), example.right_of_five]
        values = [f"{value_before(example):.2f}", f"{value(example, made):.2f}"]
        rows.append([example.asked.text, *found, *values])
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
