"""Small data sets to test with: coloured pictures in the folder format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from composir.bench.task import BenchQuery, BenchTask
from composir.encode.image_files import ImageFile
from tests.fakes import COLOURS

CARD: dict[str, Any] = {
    "name": "colours",
    "exclude_reference": True,
    "metrics": ["recall@1", "recall@2", "map@2"],
    "headline": "recall@1",
}
QUERIES: list[dict[str, Any]] = [
    {"id": "q0", "reference": "red", "text": "green", "targets": ["yellow"], "split": "dev"},
    {"id": "q1", "reference": "red", "text": "blue", "targets": ["magenta"], "split": "dev"},
    {"id": "q2", "reference": "green", "text": "blue", "targets": ["cyan"], "split": "test"},
    {"id": "q3", "reference": "blue", "text": "red", "targets": ["magenta"], "split": "test"},
    {"id": "q4", "text": "white", "targets": ["white", "cyan"], "split": "test"},
]


def write_folder(
    folder: Path,
    *,
    card: Mapping[str, Any] = CARD,
    colours: Iterable[str] = tuple(COLOURS),
    queries: Sequence[Mapping[str, Any]] = QUERIES,
) -> Path:
    """Write a data set whose images are plain colours, named after them."""
    (folder / "images").mkdir(parents=True)
    rows = [{"id": name, "file": f"images/{name}.png"} for name in colours]
    for name in dict.fromkeys(colours):
        Image.new("RGB", (12, 9), COLOURS[name]).save(folder / "images" / f"{name}.png")
    (folder / "dataset.json").write_text(json.dumps(card))
    write_lines(folder / "gallery.jsonl", rows)
    write_lines(folder / "queries.jsonl", queries)
    return folder


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_task(
    queries: Sequence[BenchQuery],
    gallery: Sequence[str],
    *,
    metrics: Sequence[str] = ("recall@1",),
    exclude_reference: bool = False,
) -> BenchTask:
    """A task without files."""
    references = [query.reference for query in queries if query.reference]
    return BenchTask(
        name="made",
        split="all",
        variant="made for a test",
        gallery=tuple(gallery),
        queries=tuple(queries),
        pictures={name: ImageFile(Path(f"{name}.png")) for name in {*gallery, *references}},
        exclude_reference=exclude_reference,
        metrics=tuple(metrics),
        headline=metrics[0],
        checksum="0" * 64,
        images_from="nowhere",
    )


def query(name: str, targets: Sequence[str], **more: Any) -> BenchQuery:
    """A query with words alone unless told otherwise."""
    return BenchQuery(
        id=name,
        texts=more.pop("texts", ("red",)),
        reference=more.pop("reference", None),
        targets=tuple(targets),
        **more,
    )
