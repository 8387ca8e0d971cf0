"""What the index of a large gallery finds of what exact search finds, and how fast.

    python benchmarks/approximate_search.py --gallery FOLDER --queries DATA_SET [--images 1000000]
        [--asked 100] [--keep FOLDER] [--peers] [--write]

The vectors of a gallery of real pictures are made many by recombination: of three pictures, the
first plus 0.4 times the difference of the others, meaning and appearance part each at their own
length. Queries are texts of a data set folder (words), pictures of the gallery (image), and sums of
both, each without a filter and with filters that let through a half, a twentieth and a thousandth
of all rows, at random. Recall is the share of the ten best of exact search that are among the ten
of `ApproximateRanker`; the peer is exact search with codes, in turns. Both read the rows of the
first 70. `--peers` adds other indexes over the same vectors, row numbers alone: Lance's default
(IVF_PQ) with refinement, and hnswlib where it is installed. `--write` puts the tables into
`benchmarks/results/approximate_search.md`; `--keep` keeps the large gallery for another run.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import lance
import numpy as np
import pyarrow as pa
from exact_search import Draw, fill
from numpy.typing import NDArray

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
BEST, WINDOW, WARMING = 10, 70, 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one kind of query: recall as a share, and milliseconds of both ways."""

    kind: str
    where: str
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


def measure(
    rankers: Sequence[Ranker], kind: str, queries: FloatArray, where: str | None, share: str
) -> Outcome:
    """Ask both ways; what a filter lets through is known from the first query on."""
    recalls, times = [], []
    for query in (*queries[:WARMING], *queries):
        found, took = [], []
        for ranker in rankers:
            begun = time.perf_counter()
            best = ranker.rank(ComposedQueries(query[None, None]), where).best(WINDOW)[:BEST]
            took.append(1e3 * (time.perf_counter() - begun))
            found.append({candidate.id for candidate in best})
        recalls.append(len(found[0] & found[1]) / len(found[1]))
        times.append(took)
    by_index, exactly = (median(each) for each in zip(*times[WARMING:], strict=True))
    return Outcome(kind, share, float(np.mean(recalls[WARMING:])), by_index, exactly)


def filters(images: int) -> dict[str, str | None]:
    """Filters by the share of rows that they let through; sizes are the rows' numbers, shuffled."""
    shares = {"half": 0.5, "5 %": 0.05, "0.1 %": 0.001}
    return {"none": None} | {name: f"size < {int(images * s)}" for name, s in shares.items()}


def table(outcomes: Sequence[Outcome], images: int, asked: int, built: str, model: str) -> str:
    lines = [
        f"{images:,} recombined vectors of `{model}`, {asked} queries of each kind, "
        f"{os.cpu_count()} cores, {platform.machine()}. {built}",
        "",
        "| query | filter | recall@10 | index | peer: exact, with codes | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.kind} | {one.where} | {100 * one.recall:.1f} % | {one.index_ms:.1f} ms "
        f"| {one.exact_ms:.1f} ms "
        f"| {one.index_ms / one.exact_ms:.2f} |"
        for one in outcomes
    ]
    return "\n".join([*lines, ""])


Search: TypeAlias = Callable[[FloatArray], NDArray[np.int64]]


def peers(matrix: FloatArray, kinds: dict[str, FloatArray], folder: Path) -> str:
    """A table of other indexes: recall and milliseconds of rows alone, by kind of query."""
    lines = [
        "",
        "Other indexes over the same vectors, row numbers alone, recall@10 and median:",
        "",
        f"| index | built in | {' | '.join(kinds)} |",
        f"| --- | ---: |{' ---: |' * len(kinds)}",
    ]
    truth = {name: exact_best(matrix, queries) for name, queries in kinds.items()}
    for make in (lance_default, hnsw):
        for name, built, search in make(matrix, folder):
            cells = [peer_cell(search, queries, truth[kind]) for kind, queries in kinds.items()]
            lines.append(f"| {name} | {built:.0f} s | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return "\n".join([*lines, ""])


def exact_best(matrix: FloatArray, queries: FloatArray) -> list[set[int]]:
    """The ten best rows of each query."""
    return [set(np.argpartition(-(matrix @ query), BEST)[:BEST].tolist()) for query in queries]


def peer_cell(search: Search, queries: FloatArray, truth: list[set[int]]) -> str:
    recalls, times = [], []
    for query, best in zip(queries, truth, strict=True):
        begun = time.perf_counter()
        found = search(query)
        times.append(1e3 * (time.perf_counter() - begun))
        recalls.append(len(best & set(found.tolist())) / BEST)
    return f"{100 * float(np.mean(recalls)):.1f} %, {median(times):.1f} ms"


def lance_default(matrix: FloatArray, folder: Path) -> Iterator[tuple[str, float, Search]]:
    """IVF_PQ as LanceDB makes it by default, refined more and more."""
    flat = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    data = lance.write_dataset(pa.table({"vector": flat}), str(folder / "peer"))
    begun = time.perf_counter()
    count, width = matrix.shape
    data.create_index(
        "vector",
        index_type="IVF_PQ",
        metric="cosine",
        num_partitions=round(count**0.5),
        num_sub_vectors=width // 16,
    )
    built = time.perf_counter() - begun
    for refine, lists in ((10, 20), (50, 64), (200, 64)):
        how = {"column": "vector", "k": BEST, "refine_factor": refine, "nprobes": lists}

        def search(query: FloatArray, how: dict[str, Any] = how) -> NDArray[np.int64]:
            found = data.to_table(columns=["_rowid"], nearest=how | {"q": query})
            return np.asarray(found["_rowid"].to_numpy(), dtype=np.int64)

        yield f"Lance IVF_PQ, refine {refine}, {lists} lists", built, search


def hnsw(matrix: FloatArray, _folder: Path) -> Iterator[tuple[str, float, Search]]:
    """Hnswlib with M = 16, looking wider and wider."""
    if find_spec("hnswlib") is None:
        return
    index = import_module("hnswlib").Index("ip", matrix.shape[1])
    index.init_index(len(matrix), M=16, ef_construction=100)
    begun = time.perf_counter()
    index.add_items(matrix, num_threads=os.cpu_count() or 1)
    built = time.perf_counter() - begun
    for width in (50, 200, 1000):

        def search(query: FloatArray, width: int = width) -> NDArray[np.int64]:
            index.set_ef(width)
            return np.asarray(index.knn_query(query, k=BEST)[0][0], dtype=np.int64)

        yield f"hnswlib, M 16, ef {width}", built, search


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
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="folder of the large gallery")
    parser.add_argument("--peers", action="store_true", help="other indexes too; takes long")
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
        rankers = ApproximateRanker(store), ExactRanker(store, matrix, load_codes(store, matrix))
        outcomes = [
            measure(rankers, kind, asked, where, share)
            for kind, asked in kinds.items()
            for share, where in filters(len(store)).items()
        ]
        others = peers(np.asarray(matrix), kinds, Path(temporary)) if options.peers else ""
    report = table(outcomes, len(store), len(words), built, small.model.name) + others
    print(report)
    if options.write:
        RESULTS.write_text(f"# Approximate search\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
