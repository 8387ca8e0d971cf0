"""Indexing very many small pictures: whether it slows down or swells, and a run without changes.

    python benchmarks/many_files.py [--images 1000000] [--folder FOLDER] [--write]

So many JPEGs of 48 x 48 pixels, no two alike, lie in folders of a thousand. The model costs nothing
(random vectors of 512 numbers), so that what is measured is the rest: walking, reading, hashing,
decoding, thumbnails, signatures, commits. Rates and memory are printed for each tenth of the
encoding stage, then the time of a second run, in a process of its own, that finds nothing to do.
`--write` puts the table into `benchmarks/results/many_files.md`; `--folder` keeps the pictures.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from exact_search import FreeModel
from PIL import Image

from composir import Gallery
from composir.gallery.progress import IndexProgress

RESULTS = Path(__file__).parent / "results" / "many_files.md"
SIDE, A_FOLDER, TENTHS, DIMENSION = 48, 1000, 10, 512
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Trace:
    """When and how large the process was at each tenth of the encoding stage."""

    images: int
    marks: list[tuple[int, float, float]] = field(default_factory=list)  # done, seconds, GiB

    def __call__(self, progress: IndexProgress) -> None:
        """Note where the run stands."""
        if progress.stage == "encoding" and progress.done >= len(self.marks) * self.images / TENTHS:
            self.marks.append((progress.done, time.perf_counter(), resident()))

    def tenths(self) -> Iterator[tuple[int, float, float]]:
        """Pictures done, images/s since the mark before, and memory then."""
        for (before, begun, _), (done, now, memory) in zip(
            self.marks, self.marks[1:], strict=False
        ):
            yield done, (done - before) / (now - begun), memory


def resident() -> float:
    """Anonymous memory of this process, GiB: mapped files can be dropped at any time."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(pages[1]) - int(pages[2])) * _PAGE / 2**30


def make_pictures(folder: Path, images: int) -> None:
    """Write what is missing."""
    random = np.random.default_rng(0)
    for first in range(0, images, A_FOLDER):
        inside = folder / f"{first // A_FOLDER:05}"
        blocks = random.integers(0, 256, (A_FOLDER, 6, 6, 3), dtype=np.uint8)
        if inside.exists():
            continue
        inside.mkdir(parents=True)
        for number in range(min(A_FOLDER, images - first)):
            stream = io.BytesIO()
            image = Image.fromarray(blocks[number]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            image.save(stream, "JPEG", quality=80)
            (inside / f"{number:04}.jpg").write_bytes(stream.getvalue())


def index(folder: Path, gallery: Path, trace: Trace | None = None) -> float:
    """Seconds of an index run."""
    begun = time.perf_counter()
    opened = Gallery.create_or_open(gallery, FreeModel(DIMENSION))
    report = opened.index([folder], progress=trace)
    print(report, flush=True)
    return time.perf_counter() - begun


def again(folder: Path, gallery: Path) -> float:
    """Seconds of a run without changes in a new process, start-up included."""
    begun = time.perf_counter()
    command = [sys.executable, __file__, "--again", str(gallery), "--folder", str(folder)]
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


def table(trace: Trace, first: float, second: float) -> str:
    tenths = list(trace.tenths())
    rates = [rate for _, rate, _ in tenths]
    lines = [
        f"{trace.images:,} JPEGs of {SIDE} x {SIDE} pixels, a model that costs nothing, "
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| pictures | images/s since the row before | memory |",
        "| ---: | ---: | ---: |",
        *(f"| {done:,} | {rate:,.0f} | {memory:.2f} GiB |" for done, rate, memory in tenths),
        "",
        f"Throughput of the last three rows against the first three: "
        f"**{median(rates[-3:]) / median(rates[:3]):.2f}** (goal .95). The whole run took "
        f"{first:,.0f} s, one without changes **{second:.0f} s** (goal of a million: 60 s).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="of the pictures, kept")
    parser.add_argument("--again", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.again:
        index(options.folder, options.again)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, gallery = options.folder or Path(temporary) / "pictures", Path(temporary) / "g"
        make_pictures(folder, options.images)
        trace = Trace(options.images)
        first = index(folder, gallery, trace)
        report = table(trace, first, again(folder, gallery))
    print(report)
    if options.write:
        RESULTS.write_text(f"# Very many files\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
