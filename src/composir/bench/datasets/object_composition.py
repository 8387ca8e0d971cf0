"""Pic2Word's object composition: a cut-out object and what else should be in the scene."""

from __future__ import annotations

import csv
from pathlib import Path

from composir.bench.datasets._files import find_root, read_lines
from composir.bench.task import BenchQuery, Crop, Dataset, LoadOptions, Picture, Task, checksum
from composir.errors import DatasetError

_HEADER = ["id", "query_regions", "query_class", "classes"]


def load(root: Path, options: LoadOptions) -> tuple[Task, ...]:
    """Read `coco_eval.csv`, which Pic2Word's `prepare_data.py` writes with the masked images."""
    split, _ = DATASET.choose(options)
    base = find_root(root, ("coco", "object-composition"), "coco_eval.csv")
    file = base / "coco_eval.csv"
    rows = _rows(file)
    pictures: dict[str, Picture] = {}
    queries = tuple(_query(base, where, row, pictures) for where, row in rows)
    gallery = tuple(row["id"] for _, row in rows)
    pictures |= {name: Picture(base / "val2017" / name) for name in gallery}
    task = Task(
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
    )
    return (task,)


def _rows(file: Path) -> list[tuple[str, dict[str, str]]]:
    lines = list(read_lines(file))
    table = csv.DictReader(line for _, line in lines)
    if table.fieldnames != _HEADER:
        raise DatasetError(f"{file}, line 1: columns {table.fieldnames}, expected {_HEADER}")
    return [(where, row) for (where, _), row in zip(lines[1:], table, strict=True)]


def _query(base: Path, where: str, row: dict[str, str], pictures: dict[str, Picture]) -> BenchQuery:
    try:
        x0, y0, x1, y1 = (int(float(corner)) for corner in row["query_regions"].split(";"))
    except ValueError as error:
        raise DatasetError(f"{where}: a region is four numbers, not {error}") from error
    name = f"region:{row['id']}"
    crop = Crop((x0, y0, x1 - x0, y1 - y0))
    pictures[name] = Picture(base / "val2017_masked" / row["id"], crop)
    others = [row["query_class"], *filter(None, row["classes"].split(";"))]
    return BenchQuery(
        id=row["id"],
        texts=(f"a photo of * and {' and '.join(others)}",),
        reference=name,
        targets=(row["id"],),
        source=where,
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
