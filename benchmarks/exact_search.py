"""Exact search over many vectors, in process: the whole way from a query to its hits.

    python benchmarks/exact_search.py [--images 100000] [--dimension 512] [--runs 31] [--write]

The gallery is filled with random unit vectors and made-up rows. `Gallery.search` is timed with a
model that costs nothing, so what is left is scoring, picking, reading the rows of the candidates,
collapsing duplicates and the confidence. Scoring and picking the first 70 are timed alone too, with
codes and without. Peers: scoring and a full argsort with plain numpy over the same matrix, Lance's
flat search, and usearch's where it is installed. All take turns, run by run, so that what else the
machine does falls on all alike. `--write` puts the table into `benchmarks/results/exact_search.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
from bare_model import BareModel
from PIL import Image

from composir import Gallery, Query
from composir.compose.base import ComposedQueries
from composir.gallery import rows
from composir.gallery.codes import CodedRanking, load_codes
from composir.gallery.duplicates import Signature
from composir.gallery.matrix import load_matrix
from composir.gallery.ranking import CandidateRows, best_positions
from composir.gallery.store import Store
from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray, PixelArray

RESULTS = Path(__file__).parent / "results" / "exact_search.md"
GOAL = "≤ 5 ms at 100,000, ≤ 40 ms at 1,000,000"
PEER = "peer: numpy, product and full argsort"
WINDOW = 70
_CHUNK = 10_000
_STRIDE = 7_919  # a prime: sizes are all numbers below that of the rows, in no order
_FOLDERS = 900
Draw: TypeAlias = Callable[[np.random.Generator, int, int], FloatArray]


class FreeModel(BareModel):
    """Random vectors at no cost: a text's vector depends on its length alone."""

    name = "free"
    fingerprint = "free"
    image_spec = PreprocessSpec(size=8, fit="squash")
    default_composer = "sum"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """One random unit vector a picture."""
        return unit(np.random.default_rng(len(pixels)), len(pixels), self.dimension)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """One random unit vector a picture."""
        return unit(np.random.default_rng(len(images)), len(images), self.dimension)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """One random unit vector a text."""
        return np.concatenate(
            [unit(np.random.default_rng(len(text)), 1, self.dimension) for text in texts]
        )


def unit(random: np.random.Generator, count: int, dimension: int) -> FloatArray:
    vectors = random.standard_normal((count, dimension), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def fill(gallery: Gallery, images: int, dimension: int, draw: Draw = unit, seed: int = 0) -> None:
    """Store made-up rows with vectors that `draw` makes up; random ones by default."""
    random = np.random.default_rng(seed)
    store = Store(gallery.path, dimension)
    store.create()
    empty = rows.Picture("", 1200, 800, None, None, b"", Signature(0, bytes(48)))
    for start in range(0, images, _CHUNK):
        numbers = range(start, min(start + _CHUNK, images))
        pictures = [replace(empty, content_hash=f"{n:032x}", **seen(random)) for n in numbers]
        sizes = [n * _STRIDE % images for n in numbers]
        places = [
            rows.Place(Path(f"/photos/{size % _FOLDERS}/{n:07}.jpg"), str(size % _FOLDERS), size, n)
            for n, size in zip(numbers, sizes, strict=True)
        ]
        columns = rows.place_columns(places)
        columns |= rows.picture_columns(pictures, draw(random, len(numbers), dimension))
        store.append(rows.as_table(columns, store.schema))
    store.compact()
    store.clean()


def seen(random: np.random.Generator) -> dict[str, Any]:
    """What differs from picture to picture: a column of one value is stored as none is."""
    width, height = random.integers(300, 1200, 2).tolist()
    signature = Signature(int(random.integers(0, 2**63)), random.bytes(48))
    return {"width": width, "height": height, "signature": signature}


def in_turns(works: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of some runs of each work after three that warm up, one of each at a time."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs + 3):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append(1e3 * (time.perf_counter() - started))
    return {name: found[3:] for name, found in times.items()}


def measure(images: int, dimension: int, runs: int) -> dict[str, list[float]]:
    """Times of our search and its peers over the same vectors."""
    model = FreeModel(dimension)
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery.create_or_open(Path(folder) / "gallery", model)
        gallery = Gallery(gallery.path, model, exact_limit=images)
        fill(gallery, images, dimension)
        store = Store(gallery.path, dimension)
        matrix = load_matrix(store, gallery.path)
        codes = load_codes(store, matrix)
        query = model.encode_texts(["a lamp"])[0]
        asked, composed = Query(text="a lamp"), ComposedQueries(query[None, None])
        nearest = {"column": "vector", "q": query, "k": 70, "metric": "cosine", "use_index": False}
        works: dict[str, Callable[[], object]] = {
            "`Gallery.search`, k = 10": lambda: gallery.search(asked),
            'the same, `where="width > 750"`': lambda: gallery.search(asked, where="width > 750"),
            "scoring and picking 70, with codes": lambda: CodedRanking(
                CandidateRows(store), matrix, codes, composed, None, None
            ).places(WINDOW),
            "scoring and picking 70, without": lambda: best_positions(
                composed.similarities(matrix)[0], WINDOW
            ),
            PEER: lambda: np.argsort(-(matrix @ query))[:10],
            "peer: Lance's flat search": lambda: store.dataset.to_table(
                columns=["id", "path", "_distance"], nearest=nearest
            ),
        }
        return in_turns(works | usearch_works(matrix, query), runs)


def usearch_works(matrix: FloatArray, query: FloatArray) -> dict[str, Callable[[], object]]:
    if find_spec("usearch") is None:
        return {}
    search, whole = import_module("usearch.index").search, np.array(matrix)
    threads = os.cpu_count() or 1
    return {
        "peer: usearch, exact": lambda: search(
            whole, query, WINDOW, "ip", exact=True, threads=threads
        )
    }


def table(measured: dict[str, list[float]], images: int, dimension: int, runs: int) -> str:
    peer = median(measured[PEER])
    lines = [
        f"{images:,} vectors of {dimension} dimensions, {runs} runs each, in turns, "
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| what | best | median | 90 % | of numpy's median | goal |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, times in measured.items():
        goal = GOAL if name.endswith("with codes") else ""
        lines.append(
            f"| {name} | {min(times):.1f} ms | {median(times):.1f} ms "
            f"| {np.quantile(times, 0.9):.1f} ms | {median(times) / peer:.2f} | {goal} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--runs", type=int, default=31)
    parser.add_argument("--write", action="store_true", help="put the table into results/")
    options = parser.parse_args()
    measured = measure(options.images, options.dimension, options.runs)
    report = table(measured, options.images, options.dimension, options.runs)
    print(report)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(f"# Exact search\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
