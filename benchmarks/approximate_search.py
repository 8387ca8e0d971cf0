"""What the index of a large gallery finds of what exact search finds.

    python benchmarks/approximate_search.py --gallery FOLDER --queries DATA_SET [--images 250000]
        [--asked 100] [--keep FOLDER] [--write]

The vectors of a gallery of real pictures are made many by recombination: of three pictures, the
first plus 0.4 times the difference of the others, meaning and appearance part each at their own
length. Queries are texts of a data set folder (words), pictures of the gallery (image), and sums of
both. Recall is the share of the ten best of exact search that are among the ten of
`ApproximateRanker`; the peer is exact search with codes, in turns. Both read the rows of the first
70. `--write` puts the table into `benchmarks/results/approximate_search.md`; `--keep` keeps the
large gallery for another run.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from exact_search import Draw, fill

from composir import Gallery, open_gallery
from composir.bench.evaluation import load_tasks
from composir.bench.task import LoadOptions
from composir.compose.base import ComposedQueries
from composir.compose.sphere import normalised
from composir.gallery.approximate import ApproximateRanker
from composir.gallery.codes import load_codes
from composir.gallery.matrix import load_matrix
from composir.gallery.ranking import ExactRanker, Ranker
from composir.gallery.store import Store
from composir.model import load_model
from composir.types import FloatArray

RESULTS = Path(__file__).parent / "results" / "approximate_search.md"
SPREAD = 0.4
TEXT_SHARE = 0.65
BEST, WINDOW = 10, 70


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one kind of query: recall as a share, and milliseconds of both ways."""

    kind: str
    recall: float
    index_ms: float
    exact_ms: float


def recombined(real: FloatArray, appearance_width: int) -> Draw:
    """Makes up vectors that lie about as real ones do."""
    split = real.shape[1] - appearance_width

    def draw(random: np.random.Generator, count: int, dimension: int) -> FloatArray:
        first, second, third = random.integers(0, len(real), (3, count))
        mixed = real[first] + SPREAD * (real[second] - real[third])
        for part in (slice(0, split), slice(split, dimension)):
            length = np.linalg.norm(real[first, part], axis=1, keepdims=True)
            mixed[:, part] = normalised(mixed[:, part]) * length
        return np.asarray(mixed, dtype=np.float32)

    return draw


def asked_texts(folder: Path, count: int) -> list[str]:
    """Texts of a data set's queries, evenly spread."""
    _, _, tasks = load_tasks(str(folder.absolute()), None, LoadOptions())
    texts = [text for query in tasks[0].queries for text in query.texts if text]
    return texts[:: max(1, len(texts) // count)][:count]


def measure(store: Store, matrix: FloatArray, kind: str, queries: FloatArray) -> Outcome:
    """Ask both ways."""
    rankers: tuple[Ranker, ...] = (
        ApproximateRanker(store),
        ExactRanker(store, matrix, load_codes(store, matrix)),
    )
    shares, times = [], []
    for query in queries:
        found, took = [], []
        for ranker in rankers:
            begun = time.perf_counter()
            best = ranker.rank(ComposedQueries(query[None, None]), None).best(WINDOW)[:BEST]
            took.append(1e3 * (time.perf_counter() - begun))
            found.append({candidate.id for candidate in best})
        shares.append(len(found[0] & found[1]) / BEST)
        times.append(took)
    by_index, exactly = (median(each) for each in zip(*times, strict=True))
    return Outcome(kind, float(np.mean(shares)), by_index, exactly)


def table(outcomes: Sequence[Outcome], images: int, asked: int, built: str, model: str) -> str:
    lines = [
        f"{images:,} recombined vectors of `{model}`, {asked} queries of each kind, "
        f"{os.cpu_count()} cores, {platform.machine()}. {built}",
        "",
        "| query | recall@10 against exact search | index | peer: exact, with codes | ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.kind} | {100 * one.recall:.1f} % | {one.index_ms:.0f} ms | {one.exact_ms:.0f} ms "
        f"| {one.index_ms / one.exact_ms:.2f} |"
        for one in outcomes
    ]
    return "\n".join([*lines, ""])


def large_gallery(
    folder: Path, small: Gallery, images: int, appearance_width: int
) -> tuple[Store, str]:
    """A gallery of made-up rows with an index, made unless it is there; how long that took."""
    dimension = small.model.dimension
    gallery = Gallery.create_or_open(folder, small.model)
    store = Store(folder, dimension)
    if store.has_index():
        return store, "The index was there."
    fill(gallery, images, dimension, recombined(small.vectors()[1], appearance_width))
    store = Store(folder, dimension)
    begun = time.perf_counter()
    store.update_index()
    return Store(folder, dimension), f"The index took {time.perf_counter() - begun:.0f} s to build."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gallery", type=Path, required=True, help="of real pictures")
    parser.add_argument("--queries", type=Path, required=True, help="data set folder with texts")
    parser.add_argument("--images", type=int, default=250_000)
    parser.add_argument("--asked", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="folder of the large gallery")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    model = load_model("mini")
    small, width = open_gallery(options.gallery, model), model.manifest.image.appearance_width
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "large"
        store, built = large_gallery(folder, small, options.images, width)
        matrix = load_matrix(store, folder)
        words = small.model.encode_texts(asked_texts(options.queries, options.asked))
        real = small.vectors()[1]
        images = real[:: max(1, len(real) // len(words))][: len(words)]
        sums = normalised((1.0 - TEXT_SHARE) * images + TEXT_SHARE * words[: len(images)])
        kinds = {"words": words, "image": images, "image and words": sums}
        outcomes = [measure(store, matrix, kind, asked) for kind, asked in kinds.items()]
    report = table(outcomes, len(store), len(words), built, small.model.name)
    print(report)
    if options.write:
        RESULTS.write_text(f"# Approximate search\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
