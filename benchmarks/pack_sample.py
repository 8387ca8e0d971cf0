"""A late step of making a release: the sample that `composir models add` fits settings on.

    python benchmarks/pack_sample.py

Pictures of the sample catalogue's dev part, six a kind, chosen so that many of the dev part's
queries lie among them, are put into `src/composir/foundation/sample/`. Its test part stays unseen.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "examples" / "catalogue"
SAMPLE = ROOT / "src" / "composir" / "foundation" / "sample"
A_KIND = 6
SUBTLE = {"angle", "light", "shape"}
Row = dict[str, Any]


def main() -> None:
    pictures = {row["id"]: row for row in dev_part("gallery.jsonl")}
    queries = dev_part("queries.jsonl")
    chosen: list[str] = []
    for kind in dict.fromkeys(row["kind"] for row in pictures.values()):
        chosen += chosen_of([one for one, row in pictures.items() if row["kind"] == kind], queries)
    shutil.rmtree(SAMPLE, ignore_errors=True)
    SAMPLE.mkdir()
    for one in chosen:
        shutil.copyfile(CATALOGUE / pictures[one]["file"], SAMPLE / f"{one}.jpg")
    shutil.copyfile(CATALOGUE / "LICENSE", SAMPLE / "LICENSE")
    place = {one: number for number, one in enumerate(chosen)}
    inside = {
        "pictures": [{name: pictures[one][name] for name in ("id", "kind")} for one in chosen],
        "queries": [packed(query, place) for query in queries if is_inside(query, set(chosen))],
    }
    text = json.dumps(inside, indent=1) + "\n"
    (SAMPLE / "sample.json").write_text(text, encoding="utf-8")
    print(f"{len(chosen)} pictures, {len(inside['queries'])} queries")


def dev_part(name: str) -> list[Row]:
    lines = (CATALOGUE / name).read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == "dev"]


def chosen_of(ids: list[str], queries: list[Row]) -> list[str]:
    """One by one, whichever brings most queries; those that most models miss count little."""
    chosen: list[str] = []
    while len(chosen) < A_KIND:
        chosen.append(
            max((i for i in ids if i not in chosen), key=lambda i: gain({*chosen, i}, queries))
        )
    return chosen


def gain(chosen: set[str], queries: list[Row]) -> tuple[float, int]:
    """Queries that lie inside; before there are any, queries that are about one of these."""
    inside = sum(
        0.2 if query["type"] in SUBTLE else 1.0 for query in queries if is_inside(query, chosen)
    )
    return inside, sum(bool({query["reference"], *query["targets"]} & chosen) for query in queries)


def is_inside(query: Row, chosen: set[str]) -> bool:
    return query["reference"] in chosen and not chosen.isdisjoint(query["targets"])


def packed(query: Row, place: dict[str, int]) -> Row:
    targets = [place[target] for target in query["targets"] if target in place]
    return {"reference": place[query["reference"]], "text": query["text"], "targets": targets}


if __name__ == "__main__":
    main()
