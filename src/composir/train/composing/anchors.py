"""Texts that adapters must leave alone, and what they cost in plain text search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from composir.bench.evaluation import VectorSource, load_tasks, prepare
from composir.bench.protocol import outcomes, rank
from composir.bench.task import LoadOptions
from composir.compose.base import ComposedQueries
from composir.data.untrusted_json import read_lines
from composir.encode.feature_store import FeatureStore
from composir.errors import DatasetError
from composir.model import Model
from composir.model.text_encoder import TextEncoder
from composir.triplets.source import read_data_set

# A run draws fewer than this; encoding more would only cost time.
MOST_TEXTS = 10_000
METRICS = ("recall@1", "recall@10")


def anchor_texts(sources: Sequence[Path]) -> tuple[str, ...]:
    """Plain captions of data sets and text files; see `spread`."""
    found: list[str] = []
    for source in sources:
        lines = () if source.is_dir() else read_lines(source, DatasetError)
        texts = _folder_texts(source) if source.is_dir() else [line.strip() for _, line in lines]
        if not texts:
            raise DatasetError(f"{source} holds no captions (column captions, caption or title)")
        found += texts
    return spread(found)


def spread(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once; every n-th where there are more than `MOST_TEXTS`."""
    unique = tuple(dict.fromkeys(texts))
    return unique[:: -(-len(unique) // MOST_TEXTS) or 1]


def _folder_texts(folder: Path) -> list[str]:
    images = read_data_set(folder).images
    titles = [image.attributes["title"] for image in images if "title" in image.attributes]
    return [caption for image in images for caption in image.captions] + titles


def text_search_cost(
    folder: Path, model: Model, adapted: TextEncoder, cache: Path
) -> dict[str, float]:
    """Text-only search with adapters off and on.

    Search itself keeps them off where there is no reference; this says how far they have moved.
    """
    task = load_tasks(str(folder.expanduser().absolute()), None, LoadOptions())[2][0]
    asked = tuple(query for query in task.queries if query.reference is None)
    if not asked:
        raise DatasetError(f"{folder}: no query is of words alone")
    vectors = FeatureStore(cache)
    prepared = prepare(replace(task, queries=asked), VectorSource(model=model, cache=vectors))
    gallery = prepared.table.rows(task.gallery, task.name)
    texts = [query.texts[0] for query in asked]
    figures: dict[str, float] = {}
    for name, encoder in (("off", model.texts), ("on", adapted)):
        queries = ComposedQueries(encoder.encode(texts)[:, None])
        values = np.asarray(outcomes(rank(prepared.task, queries, gallery), list(METRICS)))
        figures |= {
            f"text/{metric}/{name}": 100.0 * float(column.mean())
            for metric, column in zip(METRICS, values.T, strict=True)
        }
    return figures
