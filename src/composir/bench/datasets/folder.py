"""Data of one's own, in the folder format: dataset.json, gallery.jsonl, queries.jsonl, images/."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from composir.bench.datasets._files import read_json, read_lines
from composir.bench.metrics import parse_metric
from composir.bench.task import (
    BenchQuery,
    Dataset,
    LoadOptions,
    Picture,
    Task,
    checksum,
    listed,
    refuse_duplicates,
)
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
    splits = dict.fromkeys(str(r["split"]) for _, r in _rows(folder, "queries") if "split" in r)
    return Dataset(
        name=card["name"],
        title=card["name"],
        reference=str(card.get("reference", card.get("source", "own data"))),
        licence=str(card.get("licence", "not stated")),
        protocol=str(card.get("description", "")),
        images_from=str(card.get("images_from", f"the `images` folder of {folder}")),
        splits=(ALL, *splits),
        load=load,
    )


def load(root: Path, options: LoadOptions) -> tuple[Task, ...]:
    """Read a folder's queries of one split over its whole gallery."""
    card = _card(root)
    split = options.split or ALL
    pictures = _gallery(root)
    by_file = {picture.path: name for name, picture in pictures.items()}
    rows = list(_rows(root, "queries"))
    queries = tuple(
        _query(root, where, row, pictures, by_file)
        for where, row in rows
        if split in (ALL, str(row.get("split")))
    )
    if not queries:
        splits = listed(dict.fromkeys(str(row["split"]) for _, row in rows if "split" in row))
        raise DatasetError(f"{root / _FILES[2]}: no queries of split {split!r}; it has {splits}")
    metrics = _metrics(root, card)
    excluded = bool(card.get("exclude_reference", True))
    task = Task(
        name=card["name"],
        split=split,
        variant=f"folder format, reference {'' if excluded else 'not '}removed",
        gallery=tuple(pictures),
        queries=queries,
        pictures=pictures,
        exclude_reference=excluded,
        metrics=metrics,
        headline=str(card.get("headline", "recall@10" if "recall@10" in metrics else metrics[0])),
        checksum=checksum(root / name for name in _FILES),
        images_from=str(card.get("images_from", f"the `images` folder of {root}")),
    )
    return (task,)


def _card(root: Path) -> dict[str, Any]:
    path = root / _FILES[0]
    card: dict[str, Any] = read_json(path, dict)
    if not isinstance(card.get("name"), str):
        raise DatasetError(f"{path}: no 'name'")
    return card


def _metrics(root: Path, card: dict[str, Any]) -> tuple[str, ...]:
    names = card.get("metrics", _METRICS)
    headline = card.get("headline")
    try:
        for name in [*names, *([headline] if headline else [])]:
            parse_metric(name)
    except BenchError as error:
        raise DatasetError(f"{root / _FILES[0]}: {error}") from error
    if not names:
        raise DatasetError(f"{root / _FILES[0]}: 'metrics' is empty")
    return tuple(names)


def _rows(root: Path, stem: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in read_lines(root / f"{stem}.jsonl"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{where}: not JSON ({error.msg})") from error
        if not isinstance(row, dict) or "id" not in row:
            raise DatasetError(f"{where}: no 'id'")
        yield where, row


def _gallery(root: Path) -> dict[str, Picture]:
    pictures: dict[str, Picture] = {}
    for where, row in _rows(root, "gallery"):
        name = str(row["id"])
        if name in pictures:
            raise DatasetError(f"{where}: the gallery id {name!r} comes twice")
        if not isinstance(row.get("file"), str):
            raise DatasetError(f"{where}: no 'file'")
        pictures[name] = Picture(root / row["file"])
    if not pictures:
        raise DatasetError(f"{root / 'gallery.jsonl'}: the gallery is empty")
    return pictures


def _query(
    root: Path,
    where: str,
    row: dict[str, Any],
    pictures: dict[str, Picture],
    by_file: dict[Path, str],
) -> BenchQuery:
    targets = tuple(str(target) for target in row.get("targets", ()))
    if not targets:
        raise DatasetError(f"{where}: no 'targets'")
    for target in targets:
        if target not in pictures:
            raise DatasetError(f"{where}: the target {target!r} is not in the gallery")
    text = str(row.get("text", "")).strip()
    reference = _reference(root, where, row.get("reference"), pictures, by_file)
    if reference is None and not text:
        raise DatasetError(f"{where}: neither 'reference' nor 'text'")
    subset = tuple(str(member) for member in row.get("subset", ()))
    refuse_duplicates(subset, f"{where}: subset member")
    return BenchQuery(
        id=str(row["id"]),
        texts=(text,),
        reference=reference,
        targets=targets,
        subset=tuple(member for member in subset if member != reference),
        aspects=_aspects(row),
        source=where,
    )


def _aspects(row: dict[str, Any]) -> tuple[str, ...]:
    """What kinds of change a query asks for: `aspects`, or `type` where there is one kind."""
    if "aspects" in row:
        return tuple(str(aspect) for aspect in row["aspects"])
    return (str(row["type"]),) if "type" in row else ()


def _reference(
    root: Path,
    where: str,
    reference: object,
    pictures: dict[str, Picture],
    by_file: dict[Path, str],
) -> str | None:
    """Id of the reference: a gallery id, or a file, which may lie outside the gallery."""
    if reference is None:
        return None
    name = str(reference)
    if name in pictures:
        return name
    path = root / name
    if path in by_file:
        return by_file[path]
    raise DatasetError(
        f"{where}: the reference {name!r} is neither an id nor a file of the gallery"
    )
