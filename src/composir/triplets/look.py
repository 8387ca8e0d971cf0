"""Which triplets of a folder to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from composir.data.datasets import QUERIES, DatasetFolder, QueryRow
from composir.data.row_examples import QUERY_ROW
from composir.errors import DatasetError
from composir.triplets.records import pair_rng


def read_rows(folder: Path) -> list[QueryRow]:
    """Rows of a triplet folder's `queries.jsonl`."""
    if not (folder / QUERIES).is_file() and (folder / "recipe.json").is_file():
        raise DatasetError(f"{folder} was begun but not finished; run its make command again")
    rows = DatasetFolder(folder).queries()
    for where, row in rows:
        if row.reference is None or not row.text or not row.targets:
            raise DatasetError(f"{where}: a triplet needs 'reference', 'text' and 'targets'")
    if not rows:
        raise DatasetError(f"{folder / QUERIES}: it has no triplets; {QUERY_ROW}")
    return [row for _, row in rows]


def choose_rows(rows: Sequence[QueryRow], count: int, seed: int) -> list[QueryRow]:
    """Some rows to look at: as many of each kind of pair as there can be, drawn by seed."""
    by_kind: dict[str, list[QueryRow]] = defaultdict(list)
    for place in pair_rng(seed, "look").permutation(len(rows)):
        by_kind[rows[place].type or ""].append(rows[place])
    chosen: list[QueryRow] = []
    while len(chosen) < min(count, len(rows)):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop())
    return chosen
