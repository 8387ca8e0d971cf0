"""Ranks and scores a gallery as large as CIRCO's, and CIRR val, from seeded vectors.

Writes wall seconds, processor seconds and peak memory into benchmarks/results; needs no data set.

    python benchmarks/rank_circo_size.py
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np

from composir.bench.protocol import outcomes, rank
from composir.bench.task import BenchQuery, BenchTask
from composir.compose.base import ComposedQueries
from composir.types import FloatArray

WIDTH = 768
_SHAPES = {
    "CIRCO (val and test)": (123_403, 1_020, ("map@5", "map@10", "map@25", "map@50", "recall@50")),
    "CIRR val": (2_297, 4_181, ("recall@1", "recall@5", "recall@50", "recall_subset@3")),
}

_GOALS = {"CIRCO (val and test)": "≤ 10 s, ≤ 1.5 GB", "CIRR val": "≤ 3 s"}


def made_task(name: str, gallery: int, queries: int, metrics: tuple[str, ...]) -> BenchTask:
    rng = np.random.default_rng(0)
    ids = tuple(f"{number}" for number in range(gallery))
    made = []
    for number in range(queries):
        drawn = rng.choice(gallery, size=11, replace=False)
        targets = tuple(ids[i] for i in drawn[: 5 if "CIRCO" in name else 1])
        subset = () if "CIRCO" in name else tuple(ids[i] for i in drawn[:5])
        reference = ids[drawn[10]]
        made.append(BenchQuery(str(number), ("",), reference, targets, subset=subset))
    return BenchTask(
        name=name,
        split="made",
        variant="seeded vectors",
        gallery=ids,
        queries=tuple(made),
        pictures={},
        exclude_reference="CIRR" in name,
        metrics=metrics,
        headline=metrics[0],
        checksum="",
        images_from="",
    )


def unit_vectors(count: int, seed: int) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def main() -> None:
    lines = [
        "# Ranking and scoring",
        "",
        f"Seeded vectors of {WIDTH} dimensions; {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}; `python benchmarks/rank_circo_size.py`.",
        "",
        "| gallery x queries | wall | processor | peak memory | load before | goal |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *(measured(name) for name in _SHAPES),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (Path(__file__).parent / "results" / "rank_circo_size.md").write_text(text, encoding="utf-8")


def measured(name: str) -> str:
    gallery, queries, metrics = _SHAPES[name]
    task = made_task(name, gallery, queries, metrics)
    vectors = unit_vectors(gallery, seed=1)
    composed = ComposedQueries(unit_vectors(queries, seed=2)[:, None])
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    start, busy = time.perf_counter(), time.process_time()
    outcomes(rank(task, composed, vectors), metrics)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = kilobytes / (1 << 30 if sys.platform == "darwin" else 1 << 20)
    return (
        f"| {name}, {gallery:,} x {queries:,} | {seconds:.1f} s | {busy:.1f} s | {peak:.2f} GB | "
        f"{load} | {_GOALS[name]} |"
    )


if __name__ == "__main__":
    main()
