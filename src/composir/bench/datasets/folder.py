"""Data of one's own, in the folder format: dataset.json, gallery.jsonl, queries.jsonl, images/."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.bench.metrics import parse_metric
from composir.bench.task import (
    BenchQuery,
    Dataset,
    LoadOptions,
    Task,
    checksum,
    listed,
    refuse_duplicates,
)
from composir.data.json_object import JsonObject, read_object, read_objects
from composir.data.row_examples import GALLERY_ROW, QUERY_ROW
from composir.encode.pictures import ImageFile
from composir.errors import BenchError, DatasetError

ALL = "all"
_FILES = ("dataset.json", "gallery.jsonl", "queries.jsonl")
_METRICS = ["recall@1", "recall@5", "recall@10", "map@10"]


def folder_dataset(folder: Path) -> Dataset:
    """Describe a folder as a data set.

    Args:
        folder: Holds the three files.

    Returns:
        The data set; its splits are `all` and those that queries name.

    Raises:
        DatasetError: If files are missing or malformed.
    """
    card = _card(folder)
    return Dataset(
        name=card.name,
        title=card.name,
        reference=card.reference,
        licence=card.licence,
        protocol=card.description,
        images_from=card.images_from,
        splits=(ALL, *_splits(_rows(folder, "queries"))),
        load=load,
    )


def load(root: Path, options: LoadOptions) -> tuple[Task, ...]:
    """Read a folder's queries of one split over its whole gallery."""
    card = _card(root)
    split = options.split or ALL
    pictures = _gallery(root)
    excluded = card.exclude_reference
    task = Task(
        name=card.name,
        split=split,
        variant=f"folder format, reference {'' if excluded else 'not '}removed",
        gallery=tuple(pictures),
        queries=_queries(root, split, pictures),
        pictures=pictures,
        exclude_reference=excluded,
        metrics=card.metrics,
        headline=card.headline,
        checksum=checksum(root / name for name in _FILES),
        images_from=card.images_from,
    )
    return (task,)


@dataclass(frozen=True, slots=True)
class _Card:
    """What dataset.json says."""

    name: str
    reference: str
    licence: str
    description: str
    images_from: str
    exclude_reference: bool
    metrics: tuple[str, ...]
    headline: str


def _card(root: Path) -> _Card:
    path = root / _FILES[0]
    missing = "this annotation file is missing"
    row = read_object(path, DatasetError, missing=missing, halves=False)

    def told(key: str, default: str) -> str:
        # Nothing hangs on these but what people read, so lists and the like are let through.
        value = row.values.get(key) or default
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    metrics, headline = _metrics(row)
    return _Card(
        name=row.required_text("name"),
        reference=told("reference", told("source", "own data")),
        licence=told("licence", "not stated"),
        description=told("description", ""),
        images_from=told("images_from", f"the `images` folder of {root}"),
        exclude_reference=row.flag("exclude_reference", True),
        metrics=metrics,
        headline=headline,
    )


def _metrics(row: JsonObject) -> tuple[tuple[str, ...], str]:
    """The metrics and the headline."""
    names = row.values.get("metrics")
    names = _METRICS if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise row.wrong("metrics", 'a list of metrics, like ["recall@1"]')
    if not names:
        raise DatasetError(f"{row.where}: 'metrics' is empty")
    usual = "recall@10" if "recall@10" in names else names[0]
    headline = row.text("headline") or usual
    try:
        for name in [*names, headline]:
            parse_metric(name)
    except BenchError as error:
        raise DatasetError(f"{row.where}: {error}") from error
    return tuple(names), headline


def _rows(root: Path, stem: str) -> Iterator[JsonObject]:
    for row in read_objects(root / f"{stem}.jsonl", DatasetError, halves=False):
        row.required_name("id")
        yield row


def _splits(rows: Iterable[JsonObject]) -> tuple[str, ...]:
    named = (row.name("split") for row in rows)
    return tuple(dict.fromkeys(name for name in named if name is not None))


def _gallery(root: Path) -> dict[str, ImageFile]:
    pictures: dict[str, ImageFile] = {}
    for row in _rows(root, "gallery"):
        name = str(row["id"])
        if name in pictures:
            raise DatasetError(f"{row.where}: the gallery id {name!r} comes twice")
        pictures[name] = ImageFile(root / row.required_text("file"))
    if not pictures:
        raise DatasetError(f"{root / 'gallery.jsonl'}: the gallery is empty; {GALLERY_ROW}")
    return pictures


def _queries(root: Path, split: str, pictures: dict[str, ImageFile]) -> tuple[BenchQuery, ...]:
    by_file = {picture.path: name for name, picture in pictures.items()}
    rows = list(_rows(root, "queries"))
    queries = tuple(
        _query(root, row, pictures, by_file) for row in rows if split in (ALL, row.name("split"))
    )
    if not queries:
        raise _no_queries(root / _FILES[2], split, _splits(rows), bool(rows))
    return queries


def _no_queries(path: Path, split: str, splits: Sequence[str], has_rows: bool) -> DatasetError:
    if not has_rows:
        return DatasetError(f"{path}: it has no queries; {QUERY_ROW}")
    told = f"it has {listed(splits)}" if splits else "none of them names a split"
    return DatasetError(f"{path}: no queries of split {split!r}; {told}")


def _query(
    root: Path, row: JsonObject, pictures: dict[str, ImageFile], by_file: dict[Path, str]
) -> BenchQuery:
    targets = row.names("targets")
    if not targets:
        raise row.missing("targets")
    for target in targets:
        if target not in pictures:
            raise DatasetError(f"{row.where}: the target {target!r} is not in the gallery")
    text = (row.text("text") or "").strip()
    reference = _reference(root, row, pictures, by_file)
    if reference is None and not text:
        raise DatasetError(f"{row.where}: neither 'reference' nor 'text'")
    subset = row.names("subset")
    refuse_duplicates(subset, f"{row.where}: subset member")
    return BenchQuery(
        id=str(row["id"]),
        texts=(text,),
        reference=reference,
        targets=targets,
        subset=tuple(member for member in subset if member != reference),
        aspects=_aspects(row),
        source=row.where,
    )


def _aspects(row: JsonObject) -> tuple[str, ...]:
    """What kinds of change a query asks for: `aspects`, or `type` where there is one kind."""
    if row.values.get("aspects") is not None:
        return row.names("aspects")
    kind = row.name("type")
    return () if kind is None else (kind,)


def _reference(
    root: Path, row: JsonObject, pictures: dict[str, ImageFile], by_file: dict[Path, str]
) -> str | None:
    """Id of the reference: a gallery id, or a file, which may lie outside the gallery."""
    name = row.name("reference")
    if name is None or name in pictures:
        return name
    path = root / name
    if path in by_file:
        return by_file[path]
    raise DatasetError(
        f"{row.where}: the reference {name!r} is neither an id nor a file of the gallery"
    )
