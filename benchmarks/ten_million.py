"""What a gallery of ten million rows answers through its index, how fast, and in how much memory.

    python benchmarks/ten_million.py --gallery FOLDER --queries DATA_SET [--images 10000000]
        [--asked 60] [--keep FOLDER] [--write]

As `approximate_search.py`, whose vectors these are, but nothing is there that ranks exactly: a
matrix of ten million rows has 20 GB. The ten best of every query come from one pass over the stored
vectors. `--write` puts the table into `benchmarks/results/ten_million.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from approximate_search import (
    BEST,
    TEXT_SHARE,
    WARMING,
    WINDOW,
    asked_texts,
    filters,
    large_gallery,
)
from numpy.typing import NDArray

from composir import open_gallery
from composir.compose.base import ComposedQueries
from composir.compose.sphere import normalised
from composir.gallery.approximate import ApproximateRanker
from composir.gallery.store import Store
from composir.model import load_model
from composir.types import FloatArray

RESULTS = Path(__file__).parent / "results" / "ten_million.md"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of query beside one filter: recall@10 as a share, milliseconds."""

    kind: str
    share: str
    recall: float
    middle: float
    slowest: float


def best_ids(store: Store, queries: FloatArray, below: Sequence[float]) -> list[list[set[str]]]:
    """Ids of the ten best of each query among rows of a size below each bound, by one pass."""
    kept = [[(np.empty(0, np.float32), np.empty(0, str)) for _ in queries] for _ in below]
    for batch in store.stream(["id", "vector", "size"]):
        scores = store.unit_vectors(batch["vector"]) @ queries.T
        ids, sizes = np.array(batch["id"].to_pylist()), batch["size"].to_numpy()
        for bound, rows in zip(below, kept, strict=True):
            there = np.flatnonzero(sizes < bound)
            for place, column in enumerate(scores[there].T if len(there) else ()):
                rows[place] = _better(*rows[place], column, ids[there])
    return [[set(ids.tolist()) for _, ids in rows] for rows in kept]


def _better(
    held: FloatArray, names: NDArray[np.str_], new: FloatArray, ids: NDArray[np.str_]
) -> tuple[FloatArray, NDArray[np.str_]]:
    if len(held) == BEST and new.max() <= held.min():
        return held, names
    chosen = np.argpartition(-new, min(BEST, len(new)) - 1)[:BEST]
    scores, all_ids = np.concatenate([held, new[chosen]]), np.concatenate([names, ids[chosen]])
    order = np.argsort(-scores, kind="stable")[:BEST]
    return scores[order], all_ids[order]


def measured(
    store: Store, kinds: dict[str, FloatArray], truth: list[list[set[str]]]
) -> Iterator[Line]:
    """Ask the index; `truth` is by filter, then by query of all kinds one after the other."""
    ranker = ApproximateRanker(store)
    for (share, where), best in zip(filters(len(store)).items(), truth, strict=True):
        start = 0
        for kind, queries in kinds.items():
            recalls, times = [], []
            for number, query in [*enumerate(queries[:WARMING]), *enumerate(queries)]:
                begun = time.perf_counter()
                hits = ranker.rank(ComposedQueries(query[None, None]), where).best(WINDOW)
                times.append(1e3 * (time.perf_counter() - begun))
                found = {hit.id for hit in hits[:BEST]}
                recalls.append(len(found & best[start + number]) / BEST)
            start += len(queries)
            taken = sorted(times[WARMING:])
            yield Line(kind, share, float(np.mean(recalls[WARMING:])), median(taken), taken[-4])


def memory() -> str:
    """What this process holds: all of it, and without what is mapped of files."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    held = {
        line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if "kB" in line
    }
    own, peak = held["RssAnon"] / 2**20, held["VmHWM"] / 2**20
    return f"{own:.2f} GiB of its own at the end, {peak:.2f} GiB resident at most"


def table(lines: Sequence[Line], head: str) -> str:
    rows = [
        f"| {one.kind} | {one.share} | {100 * one.recall:.1f} % | {one.middle:.1f} ms "
        f"| {one.slowest:.1f} ms |"
        for one in lines
    ]
    columns = [
        "| query | filter | recall@10 | median | 95 % |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    return "\n".join([head, "", *columns, *rows, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gallery", type=Path, required=True, help="of real pictures")
    parser.add_argument("--queries", type=Path, required=True, help="data set folder with texts")
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--asked", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="folder of the large gallery")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    model = load_model("mini")
    small, width = open_gallery(options.gallery, model), model.manifest.image.appearance_width
    words = model.encode_texts(asked_texts(options.queries, options.asked))
    real = small.vectors()[1]
    images = real[:: max(1, len(real) // len(words))][: len(words)]
    sums = normalised((1.0 - TEXT_SHARE) * images + TEXT_SHARE * words[: len(images)])
    kinds = {"words": words, "image": images, "image and words": sums}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "large"
        store, built = large_gallery(folder, small, options.images, width)
        asked = filters(len(store)).values()
        below = [np.inf if where is None else float(where.split()[-1]) for where in asked]
        truth = best_ids(store, np.concatenate(list(kinds.values())), below)
        lines = list(measured(store, kinds, truth))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
    report = table(
        lines,
        f"{options.images:,} recombined vectors of `mini` ({size:.1f} GB with the index), "
        f"{len(words)} queries of each kind, {os.cpu_count()} cores, {platform.machine()}. {built} "
        f"The process: {memory()}.",
    )
    print(report)
    if options.write:
        RESULTS.write_text(f"# Ten million rows\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
