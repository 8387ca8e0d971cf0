"""What a method costs: the columns that belong beside every score.

Protocol: *query milliseconds* are the median over up to 20 queries, one at a time and after one to
warm up, from decoded reference pixels and text to the query vector (from the reference's vector
where there are no pixels). *Gallery milliseconds per image* are the median of three batches of 16
decoded images. *Bytes that travel* are those of the query vectors, four a number, unless the
composer states what its device sends. Parameters, FLOPs and bytes are those of what a reference
passes through until it is a vector or pseudo-words; the text encoder, which all methods share, is
not counted. Trained composers state them; for the others they are the gallery encoder's, which the
bundle states. Unknown figures stay unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from composir.bench.estimates import Record
from composir.bench.protocol import compose
from composir.bench.task import BenchQuery, BenchTask
from composir.compose.base import ComposedQueries, Composer
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

_QUERIES = 20
_IMAGES = 16
WHOLE_QUERY = "reference and text encoding"
_STATED = ("query_parameters", "query_flops", "query_bytes")

Openers = Mapping[str, Callable[[], Image.Image]]


class Efficiency(Record):
    """Costs of a method; None where unknown.

    Attributes:
        query_parameters: Parameters that a reference passes through.
        query_flops: Multiply-adds times two, a reference.
        query_bytes: Size of the graphs that it passes through.
        query_ms: Milliseconds a query, see `query_covers`.
        query_covers: What was timed.
        travel_bytes: From the device to the gallery, a query.
        gallery_ms: Milliseconds an image on the gallery side.
    """

    query_parameters: int | None = None
    query_flops: int | None = None
    query_bytes: int | None = None
    query_ms: float | None = None
    query_covers: str = ""
    travel_bytes: int | None = None
    gallery_ms: float | None = None


def measure(
    task: BenchTask,
    model: EmbeddingModel,
    composer: Composer,
    vectors: Mapping[str, FloatArray],
    openers: Openers | None,
    composed: ComposedQueries,
) -> Efficiency:
    """Measure what can be measured here and now.

    Args:
        task: Whose queries and images are used.
        model: The model itself, not one that remembers texts.
        composer: Likewise.
        vectors: Of the references, by id.
        openers: Of all pictures, by id; None where there are only vectors.
        composed: The task's composed queries.
    """
    numbers = int(np.prod(composed.vectors.shape[1:]))
    travel = composer.traits.travel_bytes
    return Efficiency(
        **_stated(model, composer),
        query_ms=_query_ms(task.queries, model, composer, vectors, openers),
        query_covers="composing alone" if openers is None else WHOLE_QUERY,
        travel_bytes=4 * numbers if travel is None else travel,
        gallery_ms=None if openers is None else _gallery_ms(task, model, openers),
    )


def _stated(model: EmbeddingModel, composer: Composer) -> dict[str, int | None]:
    """What the composer states of its query side, or else the bundle of the gallery's encoder."""
    traits = composer.traits
    if traits.costs is not None:
        return traits.costs.model_dump()
    if not traits.needs_vectors:
        return {}
    return {name: round(model.costs[name]) for name in _STATED if name in model.costs}


def _query_ms(
    queries: Sequence[BenchQuery],
    model: EmbeddingModel,
    composer: Composer,
    vectors: Mapping[str, FloatArray],
    openers: Openers | None,
) -> float:
    step = max(1, len(queries) // (_QUERIES + 1))
    chosen = queries[::step][: _QUERIES + 1]
    times = [_time_one(query, model, composer, vectors, openers) for query in chosen]
    return float(np.median(times[1:] or times)) * 1e3


def _time_one(
    query: BenchQuery,
    model: EmbeddingModel,
    composer: Composer,
    vectors: Mapping[str, FloatArray],
    openers: Openers | None,
) -> float:
    name = query.reference
    if name is None or openers is None:
        start = time.perf_counter()
        compose([query], composer, vectors, None)
        return time.perf_counter() - start
    picture = openers[name]()
    start = time.perf_counter()
    # A light query side does without the gallery's encoder; its vector is then at hand unused.
    at_hand = not composer.traits.needs_vectors
    vector = vectors[name] if at_hand else model.encode_images([picture])[0]
    compose([query], composer, {name: vector}, {name: lambda: picture})
    return time.perf_counter() - start


def _gallery_ms(task: BenchTask, model: EmbeddingModel, openers: Openers) -> float:
    pictures = [openers[name]() for name in task.gallery[:_IMAGES]]
    times = []
    for _ in range(4):
        start = time.perf_counter()
        model.encode_images(pictures)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) * 1e3 / len(pictures)
