"""Which triplets of a folder to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from composir.data.json_object import JsonObject, read_objects
from composir.data.row_examples import QUERY_ROW
from composir.errors import DatasetError
from composir.triplets.records import pair_dice


def read_rows(folder: Path) -> list[JsonObject]:
    """Rows of a triplet folder's `queries.jsonl`.

    Raises:
        DatasetError: If the folder holds no triplets.
    """
    if not (folder / "queries.jsonl").is_file() and (folder / "recipe.json").is_file():
        raise DatasetError(f"{folder} was begun but not finished; run its make command again")
    rows = list(read_objects(folder / "queries.jsonl", DatasetError))
    for row in rows:
        if not {"reference", "text", "targets"} <= row.values.keys():
            raise DatasetError(f"{row.where}: a triplet needs 'reference', 'text' and 'targets'")
        row.required_name("reference")
        row.required_text("text")
        row.name("type")
        if not row.required_names("targets"):
            raise DatasetError(f"{row.where}: 'targets' is empty")
    if not rows:
        raise DatasetError(f"{folder / 'queries.jsonl'}: it has no triplets; {QUERY_ROW}")
    return rows


def choose_rows(rows: Sequence[JsonObject], count: int, seed: int) -> list[JsonObject]:
    """Some rows to look at: as many of each kind of pair as there can be, drawn by seed."""
    by_kind: dict[str, list[JsonObject]] = defaultdict(list)
    for place in pair_dice(seed, "look").permutation(len(rows)):
        by_kind[kind_of(rows[place])].append(rows[place])
    chosen: list[JsonObject] = []
    while len(chosen) < min(count, len(rows)):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop())
    return chosen


def kind_of(row: JsonObject) -> str:
    """A triplet's kind; empty where it names none."""
    return row.name("type") or ""
