"""Pic2Word's object composition: a cut-out object and what else should be in the scene."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from composir.bench.datasets._files import find_root, refuse_repeated
from composir.bench.task import BenchQuery, BenchTask, Dataset, LoadOptions, checksum
from composir.data.untrusted_json import read_lines
from composir.encode.image_files import CropBox, ImageFile
from composir.errors import DatasetError

_HEADER = ["id", "query_regions", "query_class", "classes"]
_MOST_SHOWN = 80


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read `coco_eval.csv`, which Pic2Word's `prepare_data.py` writes with the masked images."""
    split, _ = DATASET.choose(options)
    base = find_root(root, ("coco", "object-composition"), "coco_eval.csv")
    file = base / "coco_eval.csv"
    rows = _rows(file)
    pictures: dict[str, ImageFile] = {}
    queries = tuple(_query(base, where, row, pictures) for where, row in rows)
    gallery = tuple(row["id"] for _, row in rows)
    pictures |= {name: ImageFile(base / "val2017" / name) for name in gallery}
    task = BenchTask(
        name="object-composition",
        split=split,
        variant='"a photo of * and {class} and {others}"; reference: the masked object, cut out',
        gallery=gallery,
        queries=queries,
        pictures=pictures,
        exclude_reference=False,
        metrics=("recall@1", "recall@5", "recall@10"),
        headline="recall@10",
        checksum=checksum([file]),
        images_from=DATASET.images_from,
        notices=_notices(rows),
    )
    return (task,)


def _rows(file: Path) -> list[tuple[str, dict[str, str]]]:
    lines = list(read_lines(file, DatasetError))
    if not lines:
        raise DatasetError(f"{file}: empty; its first line is {','.join(_HEADER)}")
    columns = _fields(*lines[0])
    if columns != _HEADER:
        raise DatasetError(f"{lines[0][0]}: columns {columns}, expected {_HEADER}")
    rows = [(where, _row(where, _fields(where, line))) for where, line in lines[1:]]
    if not rows:
        raise DatasetError(f"{file}: no queries, only the line of columns")
    refuse_repeated(((where, row["id"]) for where, row in rows), "image")
    return rows


def _fields(where: str, line: str) -> list[str]:
    """Line by line: this table's texts have no line ends, so an open quote is a mistake."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DatasetError(f"{where}: not a line of CSV ({error})") from error


def _row(where: str, fields: list[str]) -> dict[str, str]:
    if len(fields) != len(_HEADER):
        # Where no object of an image can be asked with, the script forgets to end the line.
        raise DatasetError(
            f"{where}: expected {len(_HEADER)} columns ({', '.join(_HEADER)}), found "
            f"{len(fields)}; take out images without a region"
        )
    row = dict(zip(_HEADER, fields, strict=True))
    for column in ("id", "query_class"):
        if not row[column].strip():
            raise DatasetError(f"{where}: no {column!r}")
    if Path(row["id"]).name != row["id"] or ":" in row["id"]:
        raise DatasetError(f"{where}: 'id' must be a file name, not {row['id']!r}")
    return row


def _query(
    base: Path, where: str, row: dict[str, str], pictures: dict[str, ImageFile]
) -> BenchQuery:
    name = f"region:{row['id']}"
    crop = CropBox(_box(where, row["query_regions"]))
    pictures[name] = ImageFile(base / "val2017_masked" / row["id"], crop)
    others = [row["query_class"], *filter(None, row["classes"].split(";"))]
    return BenchQuery(
        id=row["id"],
        texts=(f"a photo of * and {' and '.join(others)}",),
        reference=name,
        targets=(row["id"],),
        source=where,
    )


def _box(where: str, region: str) -> tuple[float, float, float, float]:
    """Left, top, width, height in whole pixels, rounded down as in the original code."""
    try:
        x0, y0, x1, y1 = (int(float(corner)) for corner in region.split(";"))
    except (ValueError, OverflowError) as error:
        shown = region[:_MOST_SHOWN]
        raise DatasetError(
            f"{where}: a region is four numbers, left;top;right;bottom, not {shown!r}"
        ) from error
    if x1 <= x0 or y1 <= y0:
        raise DatasetError(
            f"{where}: the region {region!r} holds no whole pixel; draw another one, or take the "
            f"line out"
        )
    return x0, y0, x1 - x0, y1 - y0


def _notices(rows: Sequence[tuple[str, dict[str, str]]]) -> tuple[str, ...]:
    alone = sum(not row["classes"].strip(";") for _, row in rows)
    if not alone:
        return ()
    return (
        f"{alone:,} of {len(rows):,} queries name one object alone; their text ends with it, where "
        f"Pic2Word's code leaves another 'and' behind it",
    )


DATASET = Dataset(
    name="object-composition",
    title="Object composition (COCO)",
    reference="Saito et al., Pic2Word: Mapping Pictures to Words for Zero-shot Composed Image "
    "Retrieval, CVPR 2023, section 4.1",
    licence="images of COCO val2017, owned by their photographers",
    protocol="a masked object and the names of the scene's objects must find their photograph; "
    "the regions are drawn by Pic2Word's script, unseeded, so only runs on one file compare",
    images_from="http://images.cocodataset.org/zips/val2017.zip as val2017/; val2017_masked/ and "
    "coco_eval.csv: https://github.com/google-research/composed_image_retrieval, "
    "data/coco/prepare_data.py",
    splits=("val",),
    load=load,
)
