"""Data of one's own, in the folder format: dataset.json, gallery.jsonl, queries.jsonl, images/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from composir.bench.metrics import parse_metric
from composir.bench.task import (
    BenchQuery,
    BenchTask,
    Dataset,
    LoadOptions,
    checksum,
    refuse_duplicates,
)
from composir.data.datasets import (
    CARD,
    QUERIES,
    DatasetCard,
    DatasetFolder,
    DatasetImage,
    QueryRow,
    no_split,
    splits_of,
)
from composir.data.row_examples import QUERY_ROW
from composir.encode.image_files import ImageFile
from composir.errors import BenchError, DatasetError

ALL = "all"
_METRICS = ("recall@1", "recall@5", "recall@10", "map@10")


def folder_dataset(folder: Path) -> Dataset:
    """Describe a folder as a data set."""
    found = DatasetFolder(folder)
    card = found.card()
    _metrics(found, card)
    return Dataset(
        name=card.name,
        title=card.name,
        reference=card.reference or card.source or "own data",
        licence=card.licence or "not stated",
        protocol=card.description or "",
        images_from=_images_from(found, card),
        splits=(ALL, *splits_of(row for _, row in found.queries(halves=False))),
        load=load,
    )


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read a folder's queries of one split over its whole gallery."""
    folder = DatasetFolder(root)
    card = folder.card()
    metrics, headline = _metrics(folder, card)
    split = options.split or ALL
    images = folder.images(halves=False)
    excluded = card.exclude_reference
    task = BenchTask(
        name=card.name,
        split=split,
        variant=f"folder format, reference {'' if excluded else 'not '}removed",
        gallery=tuple(images),
        queries=_queries(folder, split, images, card.group),
        pictures={name: ImageFile(image.file) for name, image in images.items()},
        exclude_reference=excluded,
        metrics=metrics,
        headline=headline,
        checksum=checksum(folder.files),
        images_from=_images_from(folder, card),
    )
    return (task,)


def _images_from(folder: DatasetFolder, card: DatasetCard) -> str:
    return card.images_from or f"the `images` folder of {folder.root}"


def _metrics(folder: DatasetFolder, card: DatasetCard) -> tuple[tuple[str, ...], str]:
    """The metrics and the headline."""
    where = folder.root / CARD
    names = _METRICS if card.metrics is None else card.metrics
    if not names:
        raise DatasetError(f"{where}: 'metrics' is empty")
    headline = card.headline or ("recall@10" if "recall@10" in names else names[0])
    try:
        for name in [*names, headline]:
            parse_metric(name)
    except BenchError as error:
        raise DatasetError(f"{where}: {error}") from error
    return names, headline


def _queries(
    folder: DatasetFolder, split: str, images: Mapping[str, DatasetImage], columns: Sequence[str]
) -> tuple[BenchQuery, ...]:
    path, rows = folder.root / QUERIES, folder.queries(halves=False)
    if not rows:
        raise DatasetError(f"{path}: it has no queries; {QUERY_ROW}")
    by_file = {image.file: name for name, image in images.items()}
    chosen = [(where, row) for where, row in rows if split in (ALL, row.split)]
    if not chosen:
        raise no_split(path, "queries", split, splits_of(row for _, row in rows))
    return tuple(_query(folder.root, where, row, images, by_file, columns) for where, row in chosen)


def _query(
    root: Path,
    where: str,
    row: QueryRow,
    images: Mapping[str, DatasetImage],
    by_file: Mapping[Path, str],
    columns: Sequence[str],
) -> BenchQuery:
    if not row.targets:
        raise DatasetError(f"{where}: no 'targets'")
    for target in row.targets:
        if target not in images:
            raise DatasetError(f"{where}: the target {target!r} is not in the gallery")
    reference = _reference(root, where, row, images, by_file)
    text = row.text.strip()
    if reference is None and not text:
        raise DatasetError(f"{where}: neither 'reference' nor 'text'")
    refuse_duplicates(row.subset, f"{where}: subset member")
    kinds: Sequence[str] = () if row.type is None else (row.type,)
    return BenchQuery(
        id=row.id,
        texts=(text,),
        reference=reference,
        targets=row.targets,
        subset=tuple(member for member in row.subset if member != reference),
        aspects=tuple(kinds if row.aspects is None else row.aspects),
        source=where,
        group=row.group or _group(images[reference or row.targets[0]], columns),
    )


def _group(image: DatasetImage, columns: Sequence[str]) -> str:
    """What an image's row says in the columns that name groups."""
    said = {"split": image.split, **image.metadata}
    missing = [column for column in columns if said.get(column) is None]
    if missing:
        raise DatasetError(f"{image.where}: no {missing[0]!r}, which {CARD} names as 'group'")
    return ", ".join(str(said[column]) for column in columns)


def _reference(
    root: Path,
    where: str,
    row: QueryRow,
    images: Mapping[str, DatasetImage],
    by_file: Mapping[Path, str],
) -> str | None:
    """Id of the reference: a gallery id, or a file of the gallery."""
    if row.reference is None or row.reference in images:
        return row.reference
    path = root / row.reference
    if path in by_file:
        return by_file[path]
    raise DatasetError(
        f"{where}: the reference {row.reference!r} is neither an id nor a file of the gallery"
    )
