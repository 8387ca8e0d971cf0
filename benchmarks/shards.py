"""Four workers beside one indexer, and the merge of many shards.

    python benchmarks/shards.py [--images 1200] [--threads 2] [--shards 16] [--rows 100000]
    python benchmarks/shards.py --write

**Workers.** The generated JPEGs of `index_throughput.py`, indexed by `composir index` into a new
gallery, then by four processes of `composir index --shard K/4` at once and `composir merge`.
Every process has as many threads of the model as the one indexer has; on a machine with fewer cores
than all of them together, they share. The ratio of both throughputs is of one run; start of the
processes, and the merge, are within.

**Merge.** Shards of seeded random vectors with made-up rows, and no thumbnails, are made beside an
empty gallery; the merge of all is timed, with its compaction. From then on all rows are searched.
The vector index, which a gallery of more than a million rows gets at the end of the same merge, is
timed apart. `--write` puts the table into `benchmarks/results/shards.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from exact_search import FreeModel, fill
from index_throughput import make_pictures

from composir import Gallery
from composir.gallery.origin import identity_of
from composir.gallery.shards import MergeReport, Shard, merge_shards
from composir.gallery.shards.shard import ShardPlan, ShardRecord, place_of

RESULTS = Path(__file__).parent / "results" / "shards.md"
WORKERS = 4
DIMENSION = 512


@dataclass(frozen=True)
class Throughput:
    """Images a second, of one indexer and of all workers with their merge."""

    one: float
    many: float


def composir(*words: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "composir", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished(*processes: subprocess.Popen[bytes]) -> None:
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a process ended with {codes}")


def measure_workers(folder: Path, images: int, threads: int) -> Throughput:
    pictures = folder / "pictures"
    make_pictures(pictures, images)
    options = ("--threads", str(threads), "--model", "mini", "--batch-size", "32")
    begun = time.perf_counter()
    finished(composir("index", pictures, "--gallery", folder / "one", *options))
    one = time.perf_counter() - begun
    begun = time.perf_counter()
    many = ("--gallery", folder / "many", *options, "--shard")
    finished(*(composir("index", pictures, *many, f"{k + 1}/{WORKERS}") for k in range(WORKERS)))
    finished(composir("merge", folder / "many"))
    return Throughput(images / one, images / (time.perf_counter() - begun))


def measure_merge(gallery: Path, shards: int, rows: int) -> tuple[MergeReport, MergeReport]:
    """The merge without the vector index, and what is left to a merge of nothing: the index."""
    model = FreeModel(DIMENSION)
    Gallery.create_or_open(gallery, model)
    plan = ShardPlan(shards, identity_of(model), ("/photos",), {"/photos": ()})
    for number in range(1, shards + 1):
        shard = Gallery.create_or_open(place_of(gallery, Shard(number, shards)), model)
        fill(shard, rows, DIMENSION, seed=number)
        ShardRecord(number, plan, "begun").write(gallery, "complete")
    report = merge_shards(gallery, exact_limit=shards * rows)
    if report.total != shards * rows:
        raise SystemExit(f"{report.total:,} rows were merged, not {shards * rows:,}")
    return report, merge_shards(gallery)


def table(
    workers: Throughput,
    merges: tuple[MergeReport, MergeReport],
    images: int,
    threads: int,
    rows: int,
) -> str:
    merge, index = merges
    return "\n".join(
        [
            f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
            "",
            "| what | figure | goal |",
            "| --- | ---: | --- |",
            f"| one indexer, {images:,} JPEGs, {threads} threads | {workers.one:.1f} images/s | |",
            f"| {WORKERS} workers of {threads} threads, and the merge "
            f"| {workers.many:.1f} images/s | |",
            f"| ratio | {workers.many / workers.one:.2f} | ≥ 0.90 |",
            f"| merge of {merge.shards} shards of {rows:,} vectors | {merge.seconds:.1f} s "
            "| 16 of 100,000: ≤ 120 s |",
            f"| the vector index of all of them | {index.seconds:.1f} s | 1M: ≤ 900 s |",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rows", type=int, default=100_000, help="of each shard")
    parser.add_argument("--write", action="store_true", help="put the table into results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workers = measure_workers(Path(folder), options.images, options.threads)
        merges = measure_merge(Path(folder, "merged"), options.shards, options.rows)
    report = table(workers, merges, options.images, options.threads, options.rows)
    print(report)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(f"# Shards\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
