"""The parts of the development sets as training splits them, as data set folders.

Training (`recipes/mini/corpus.py`) splits fashion by title group and PACS by picture.
This writes what it has not seen of them in the folder format, pictures linked, for tuning (`dev`)
and for reports (`test`), and the training part of every source, without queries, for triplets
(`train`) and, with dev pictures and the texts that mini was trained with, for mappers
(`described`):

    python benchmarks/held_out.py --data FOLDER --out FOLDER

Beside them, for reports: the same questions of PACS in words that no training list has
(`pacs_wordings.json`), and real photographs with real edits (`real_edits.py`). For choosing, the
dev parts are asked in words of no list too, in other ones (`dev_wordings.json`); some of these hold
a listed phrase that is not what they are about. Three more have texts that describe all of the
target (`described_dev.py`). Queries say which of them answer alike (`group`): those of one fashion
title, of one class and domain, of one family.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import described_dev
from mini_recipe import SOURCES, Row, fashion_group, read_corpus
from real_edits import write_real_edits

PARTS = ("dev", "test")
WORDINGS = Path(__file__).with_name("pacs_wordings.json")
DEV_WORDINGS = Path(__file__).with_name("dev_wordings.json")
Wordings = Mapping[str, Mapping[str, Sequence[str]]]
"""Ways to ask for something, by property and value."""

GROUPED_BY = {"catalogue": ["family"], "pacs-domains": ["class", "domain"]}
"""Columns of the reference that tell groups of queries."""
CATALOGUE = Path(__file__).resolve().parents[1] / "examples" / "catalogue"


@dataclass(frozen=True, slots=True)
class Domain:
    """A kind of pictures, with what settings are chosen on and what is reported."""

    name: str
    dev: Path
    tests: tuple[Path, ...]


def domains(held_out: Path, part: str = "dev") -> list[Domain]:
    """The domains that were written below a folder; `part` is what settings are chosen on."""
    names = ("catalogue", "fashion-recolour", "pacs-domains", "real-edits")
    found = [
        Domain(name, held_out / f"{name}-{part}", tuple(sorted(held_out.glob(f"{name}-test*"))))
        for name in names
    ]
    return [one for one in found if one.dev.is_dir()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the held-out parts as data sets.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    for folder in write_held_out(asked.data, asked.out):
        print(folder)


def write_held_out(data: Path, out: Path) -> list[Path]:
    """Write all held-out sets; returns their folders."""
    held_out = [make(data, out, part) for make in (write_fashion, write_pacs) for part in PARTS]
    held_out += [write_catalogue(out, part) for part in PARTS]
    held_out += [*write_paraphrased(data, out), *write_real_edits(data, out)]
    there = [name for name in SOURCES if (data / name / "gallery.jsonl").is_file()]
    print(f"training parts of {', '.join(there)}")
    held_out += [write_training(data, out, name) for name in there]
    held_out += [write_described(data, out, name) for name in there]
    return held_out + [
        write_described_dev(data, out, name) for name in there if name in described_dev.SOURCES
    ]


def write_catalogue(out: Path, part: str) -> Path:
    """One split of the sample catalogue's queries over its whole gallery."""
    rows, queries = read(CATALOGUE.parent, CATALOGUE.name)
    asked = [query for query in queries if query["split"] == part]
    return write(CATALOGUE.parent, out, CATALOGUE.name, part, rows, asked)


def write_training(data: Path, out: Path, name: str) -> Path:
    """Pictures of one source that training may see."""
    rows = [
        row for row in read_rows(data / name / "gallery.jsonl") if part_of(name, row) == "train"
    ]
    return write(data, out, name, "train", [row for row in rows if SOURCES[name].texts(row)], [])


def write_described(data: Path, out: Path, name: str) -> Path:
    """Training and dev pictures of one source with the texts that mini was trained with."""
    described = [
        {
            "id": str(number),
            "file": picture.file.relative_to(data / name).as_posix(),
            "captions": picture.texts,
            "split": picture.split,
        }
        for number, picture in enumerate(read_corpus(data, (name,)))
        if picture.split != "test"
    ]
    return write(data, out, name, "described", described, [])


def write_described_dev(data: Path, out: Path, name: str) -> Path:
    """Dev pictures of one source, asked for by all that they show; of hundreds, these alone."""
    rows = read_rows(out / f"{name.removesuffix('-train')}-described" / "gallery.jsonl")
    dev = [row for row in rows if row["split"] == "dev"]
    gallery = dev if len(dev) > described_dev.MOST_QUERIES else rows
    queries = list(described_dev.described_queries(gallery))
    shown = [{"id": row["id"], "file": row["file"]} for row in gallery]
    return write(data, out, name, "described-dev", shown, queries)


def write_fashion(data: Path, out: Path, part: str) -> Path:
    """Queries of held-out title groups over the whole gallery: the rest are distractors."""
    rows, queries = read(data, "fashion-recolour")
    kept = {str(row["id"]) for row in rows if part_of("fashion-recolour", row) == part}
    titles = {str(row["id"]): fashion_group(row) for row in rows}
    asked = [
        {**query, "group": titles[query["reference"]]}
        for query in queries
        if query["reference"] in kept
    ]
    return write(data, out, "fashion-recolour", part, rows, asked)


def write_pacs(data: Path, out: Path, part: str) -> Path:
    """Held-out pictures alone, as references, targets and gallery."""
    return write(data, out, "pacs-domains", part, *pacs_part(data, part))


def write_paraphrased(data: Path, out: Path) -> list[Path]:
    """Parts that were written, asked in words of no list: PACS's test part, all dev parts."""
    told = [("pacs-domains", "test", {"domain": json.loads(WORDINGS.read_text("utf-8"))})]
    chosen = json.loads(DEV_WORDINGS.read_text("utf-8")).items()
    told += [(name, "dev", wordings) for name, wordings in chosen]
    return [_paraphrased(data, out, name, part, wordings) for name, part, wordings in told]


def _paraphrased(data: Path, out: Path, name: str, part: str, wordings: Wordings) -> Path:
    rows, queries = read(out, f"{name}-{part}")
    asked = list(in_other_words(rows, queries, wordings))
    root = CATALOGUE.parent if name == CATALOGUE.name else data
    return write(root, out, name, f"{part}-paraphrased", rows, asked)


def in_other_words(
    rows: Iterable[Row], queries: Iterable[Row], wordings: Wordings
) -> Iterator[Row]:
    """Queries with other texts, in turn; those that ask for more than there are words for, left."""
    row_of = {str(row["id"]): row for row in rows}
    turns = {(name, value): cycle(said[value]) for name, said in wordings.items() for value in said}
    for query in queries:
        target = row_of[query["targets"][0]]
        asked = query.get("changes") or {name: target[name].lower() for name in wordings}
        changes = [(name, str(value)) for name, value in asked.items()]
        if all(change in turns for change in changes):
            yield {**query, "text": " and ".join(next(turns[change]) for change in changes)}


def pacs_part(data: Path, part: str) -> tuple[list[Row], list[Row]]:
    """Pictures of a part, and the queries among them."""
    rows, queries = read(data, "pacs-domains")
    kept_rows = [row for row in rows if part_of("pacs-domains", row) == part]
    kept = {str(row["id"]) for row in kept_rows}
    asked = [
        dict(query) | {"targets": [target for target in query["targets"] if target in kept]}
        for query in queries
        if query["reference"] in kept
    ]
    return kept_rows, [query for query in asked if query["targets"]]


def part_of(name: str, row: Row) -> str:
    """The split that training assigned to a picture."""
    return SOURCES[name].split(name, row)


def read(data: Path, name: str) -> tuple[list[Row], list[Row]]:
    """Gallery and query rows of a data set folder."""
    return read_rows(data / name / "gallery.jsonl"), read_rows(data / name / "queries.jsonl")


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(
    data: Path, out: Path, name: str, part: str, rows: Iterable[Row], queries: Iterable[Row]
) -> Path:
    folder = out / f"{name.removesuffix('-train')}-{part}"
    folder.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = json.loads((data / name / "dataset.json").read_text(encoding="utf-8"))
    card |= {"name": f"{name}-{part}", "images_from": f"the data set {name}"}
    card |= {"group": GROUPED_BY[name]} if name in GROUPED_BY else {}
    if name in SOURCES:
        card["licence"] = SOURCES[name].licence
    (folder / "dataset.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    for stem, items in (("gallery", rows), ("queries", queries)):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (folder / f"{stem}.jsonl").write_text(lines, encoding="utf-8")
    for kind in ("images", "masks"):
        if (data / name / kind).exists() and not (folder / kind).exists():
            (folder / kind).symlink_to((data / name / kind).resolve())
    return folder


if __name__ == "__main__":
    main()
