"""Ranks and scores a gallery as large as CIRCO's, and CIRR val, from seeded vectors.

Prints wall seconds, processor seconds and peak memory; needs no data set.

    python benchmarks/rank_circo_size.py
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from composir.bench.protocol import outcomes, rank
from composir.bench.task import BenchQuery, Task
from composir.compose.base import ComposedQueries
from composir.types import FloatArray

WIDTH = 768
_SHAPES = {
    "CIRCO (val and test)": (123_403, 1_020, ("map@5", "map@10", "map@25", "map@50", "recall@50")),
    "CIRR val": (2_297, 4_181, ("recall@1", "recall@5", "recall@50", "recall_subset@3")),
}


def made_task(name: str, gallery: int, queries: int, metrics: tuple[str, ...]) -> Task:
    rng = np.random.default_rng(0)
    ids = tuple(f"{number}" for number in range(gallery))
    made = []
    for number in range(queries):
        drawn = rng.choice(gallery, size=11, replace=False)
        targets = tuple(ids[i] for i in drawn[: 5 if "CIRCO" in name else 1])
        subset = () if "CIRCO" in name else tuple(ids[i] for i in drawn[:5])
        reference = ids[drawn[10]]
        made.append(BenchQuery(str(number), ("",), reference, targets, subset=subset))
    return Task(
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
    for name, (gallery, queries, metrics) in _SHAPES.items():
        task = made_task(name, gallery, queries, metrics)
        vectors = unit_vectors(gallery, seed=1)
        composed = ComposedQueries(unit_vectors(queries, seed=2)[:, None])
        start, busy = time.perf_counter(), time.process_time()
        outcomes(rank(task, composed, vectors), metrics)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = kilobytes / (1 << 30 if sys.platform == "darwin" else 1 << 20)
        print(
            f"{name}: {gallery:,} x {WIDTH} vectors, {queries:,} queries ranked and scored in "
            f"{seconds:.1f} s ({busy:.1f} s of one core); peak memory {peak:.2f} GB"
        )


if __name__ == "__main__":
    main()
