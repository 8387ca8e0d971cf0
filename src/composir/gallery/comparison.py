"""The same queries asked of a gallery by its own model and by one that it keeps beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.compose import load_composer
from composir.data.files import absolute
from composir.data.untrusted_json import parse_json, read_lines
from composir.errors import GalleryError, QueryError
from composir.gallery.contents import Snapshot
from composir.gallery.lookup import sampled_images
from composir.gallery.manifest import read_manifest
from composir.gallery.other_models import KeptTable, read_other_models
from composir.gallery.reindex import table_of_kept
from composir.gallery.search import SearchSettings, answer
from composir.gallery.store import EXACT_LIMIT, Store
from composir.model.base import EmbeddingModel
from composir.types import Query, SearchResult

FIRST_HITS = 10
SAMPLED = 20
_SEED = 0


@dataclass(frozen=True, slots=True)
class ComparedQuery:
    """One query, and what each of both models finds.

    Attributes:
        query: What was asked.
        own: The answer of the gallery's own model.
        other: The answer of the one beside.
    """

    query: Query
    own: SearchResult
    other: SearchResult

    @property
    def common(self) -> int:
        """How many of the first hits are both models'."""
        return len({hit.id for hit in self.own.hits} & {hit.id for hit in self.other.hits})


def table_beside(folder: Path) -> KeptTable:
    """What to compare a gallery's own model with: the prepared one, else the former.

    Raises:
        GalleryError: If the gallery keeps neither, or the prepared one is not whole yet.
    """
    kept = read_other_models(folder).settled(read_manifest(folder).table)
    if kept.prepared is not None:
        if not kept.prepared.written_from:
            raise GalleryError(
                f"{kept.prepared.bundle.name} is not prepared yet; composir reindex --model "
                f"{kept.prepared.bundle.name} goes on where it was"
            )
        return kept.prepared
    if kept.former is None:
        raise GalleryError(
            "the gallery has vectors of one model alone; first: composir reindex --model NAME"
        )
    return kept.former


def compare_models(
    folder: Path,
    models: tuple[EmbeddingModel, EmbeddingModel],
    queries: Sequence[Query],
    *,
    k: int = FIRST_HITS,
) -> Iterator[ComparedQuery]:
    """Ask both models of a gallery the same queries, each with its own default composer.

    Args:
        folder: The gallery's.
        models: Its own, and the one of `table_beside`.
        queries: What to ask.
        k: Number of hits.

    Raises:
        GalleryError: If there is nothing to compare with, or a table is damaged.
        QueryError: If a reference cannot be read.
        ModelError: If a model fails.
    """
    folder = absolute(folder)
    manifest, beside = read_manifest(folder), table_beside(folder)
    stores = (
        Store(folder, manifest.bundle.dimension, manifest.table),
        table_of_kept(folder, beside),
    )
    rankers = [Snapshot(store, EXACT_LIMIT).ranker for store in stores]
    composers = [load_composer(None, model) for model in models]
    settings = SearchSettings(k)
    for query in queries:
        own, other = (
            answer(query, ranker, model, composer, settings)
            for ranker, model, composer in zip(rankers, models, composers, strict=True)
        )
        yield ComparedQuery(query, own, other)


def sampled_queries(folder: Path) -> list[Query]:
    """Some pictures of a gallery as references, for who has no queries at hand."""
    manifest = read_manifest(folder)
    store = Store(folder, manifest.bundle.dimension)
    images = sampled_images(store, SAMPLED, _SEED) if len(store) else []
    return [Query(image=image.path) for image in images if image.path.is_file()]


def read_queries(path: Path) -> list[Query]:
    """Queries of a file: words line by line, or JSON Lines with `image`, `text` or both.

    Relative pictures lie beside the file.

    Raises:
        QueryError: If the file cannot be read, or a line is no query; the message names the line.
    """
    lines = read_lines(path, QueryError)
    if path.suffix.lower() != ".jsonl":
        return [Query(text=line) for _, line in lines]
    return [_query(where, line, path.parent) for where, line in lines]


def _query(where: str, line: str, folder: Path) -> Query:
    row = parse_json(where, line, QueryError)
    if not isinstance(row, dict) or not {*row} <= {"image", "text"}:
        raise QueryError(f"{where}: must be an object with 'image', 'text' or both")
    values = [value for value in row.values() if not isinstance(value, str)]
    if values:
        raise QueryError(f"{where}: {values[0]!r} must be a text")
    image = row.get("image")
    try:
        return Query(image=None if image is None else folder / image, text=row.get("text", ""))
    except QueryError as error:
        raise QueryError(f"{where}: {error}") from error
