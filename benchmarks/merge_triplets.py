"""One file of triplets out of several data set folders, for `composir train compose`.

    python benchmarks/merge_triplets.py OUT.jsonl FOLDER[:COUNT] [FOLDER[:COUNT] ...]

With a count, so many of a folder's queries are drawn, seeded. Pictures are named by absolute path.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

MOST_TARGETS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description="Merge triplets.")
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", nargs="+")
    asked = parser.parse_args()
    rows = [row for folder in asked.folders for row in read(folder)]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows):,} triplets in {asked.out}")


def read(named: str) -> list[dict[str, Any]]:
    """Rows of one folder: reference and targets as absolute paths."""
    folder, _, count = named.partition(":")
    root = Path(folder)
    files = {
        str(row["id"]): str((root / row["file"]).resolve()) for row in lines(root / "gallery.jsonl")
    }
    queries = lines(root / "queries.jsonl")
    if count:
        order = np.random.default_rng(0).permutation(len(queries))[: int(count)]
        queries = [queries[int(place)] for place in sorted(order)]
    return [
        {
            "reference": files[str(query["reference"])],
            "text": query["text"],
            "targets": [files[str(target)] for target in query["targets"][:MOST_TARGETS]],
        }
        for query in queries
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
