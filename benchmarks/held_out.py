"""The parts of the development sets that training has not seen, as data set folders.

Training (`composir.train.foundation.corpus`) splits fashion by title group and PACS by picture.
This writes what is left of them in the folder format, pictures linked, for tuning (`dev`) and for
reports (`test`):

    python benchmarks/held_out.py --data FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from composir.train.foundation.corpus import SOURCES, Row, split_of

PARTS = ("dev", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the held-out parts as data sets.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    for folder in write_held_out(asked.data, asked.out):
        print(folder)


def write_held_out(data: Path, out: Path) -> list[Path]:
    """Write all held-out sets; returns their folders."""
    return [make(data, out, part) for make in (write_fashion, write_pacs) for part in PARTS]


def write_fashion(data: Path, out: Path, part: str) -> Path:
    """Queries of held-out title groups over the whole gallery: the rest are distractors."""
    rows, queries = read(data, "fashion-recolour")
    kept = {str(row["id"]) for row in rows if part_of("fashion-recolour", row) == part}
    asked = [query for query in queries if query["reference"] in kept]
    return write(data, out, "fashion-recolour", part, rows, asked)


def write_pacs(data: Path, out: Path, part: str) -> Path:
    """Held-out pictures alone, as references, targets and gallery."""
    rows, queries = read(data, "pacs-domains")
    kept_rows = [row for row in rows if part_of("pacs-domains", row) == part]
    kept = {str(row["id"]) for row in kept_rows}
    asked = [
        query | {"targets": [target for target in query["targets"] if target in kept]}
        for query in queries
        if query["reference"] in kept
    ]
    asked = [query for query in asked if query["targets"]]
    return write(data, out, "pacs-domains", part, kept_rows, asked)


def part_of(name: str, row: Row) -> str:
    """The split that training assigned to a picture."""
    spec = SOURCES[name]
    return split_of(f"{name}/{spec.group(row)}", spec.dev, spec.test)


def read(data: Path, name: str) -> tuple[list[Row], list[Row]]:
    """Gallery and query rows of a data set folder."""
    gallery, queries = (
        [json.loads(line) for line in (data / name / file).read_text("utf-8").splitlines()]
        for file in ("gallery.jsonl", "queries.jsonl")
    )
    return gallery, queries


def write(
    data: Path, out: Path, name: str, part: str, rows: Iterable[Row], queries: Iterable[Row]
) -> Path:
    folder = out / f"{name}-{part}"
    folder.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = json.loads((data / name / "dataset.json").read_text(encoding="utf-8"))
    card |= {"name": f"{name}-{part}", "images_from": f"the data set {name}"}
    (folder / "dataset.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    for stem, items in (("gallery", rows), ("queries", queries)):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (folder / f"{stem}.jsonl").write_text(lines, encoding="utf-8")
    images = folder / "images"
    if not images.exists():
        images.symlink_to((data / name / "images").resolve())
    return folder


if __name__ == "__main__":
    main()
