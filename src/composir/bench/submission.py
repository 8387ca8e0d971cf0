"""Files for the CIRR and CIRCO servers, checked against their rules before they are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.bench.destinations import write_text
from composir.bench.protocol import Rankings
from composir.bench.task import Task
from composir.errors import BenchError

_CIRR_VERSION = "rc2"
_CIRR_LENGTHS = {"recall": 50, "recall_subset": 3}
_CIRR_BYTES = 5_000_000
_CIRCO_LENGTH = 50

Lists = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class SubmissionFile:
    """One file for a server, already checked."""

    name: str
    content: str


def submission_files(kind: str, task: Task, rankings: Rankings) -> tuple[SubmissionFile, ...]:
    """Make a server's files.

    Args:
        kind: `cirr` or `circo`.
        task: The split that was ranked.
        rankings: Of all its queries.

    Returns:
        The files.

    Raises:
        BenchError: If the lists break the server's rules.
    """
    lists = _lists(task, rankings.top.tolist())
    if kind == "circo":
        return (circo_file(lists, task),)
    if rankings.top_subset is None:
        raise BenchError("the CIRR server also wants the ranking of the subset; there is none")
    subset = _lists(task, rankings.top_subset.tolist())
    return cirr_file(lists, "recall", task), cirr_file(subset, "recall_subset", task)


def _lists(task: Task, rows: Sequence[Sequence[int]]) -> Lists:
    return {
        query.id: [task.gallery[column] for column in row if column >= 0]
        for query, row in zip(task.queries, rows, strict=True)
    }


def cirr_file(lists: Lists, metric: str, task: Task) -> SubmissionFile:
    """CIRR's file for one metric.

    Args:
        lists: Image names by pair id, best first.
        metric: `recall` (50 names each) or `recall_subset` (3).
        task: Whose queries must all be there.

    Returns:
        `test1_recall.json` or the like.

    Raises:
        BenchError: If a list has the wrong length, a name comes twice, is the reference, carries a
            path or an extension, or is not of the split; or the file is larger than 5 MB.
    """
    _check_lists(lists, task, _CIRR_LENGTHS[metric])
    for query in task.queries:
        for name in lists[query.id]:
            if "/" in name or name.endswith((".png", ".jpg")):
                raise BenchError(f"pair {query.id}: {name!r} must be a bare name")
        if query.reference in lists[query.id]:
            raise BenchError(f"pair {query.id}: the reference is among its own hits")
        if metric == "recall_subset" and not set(lists[query.id]) <= set(query.subset):
            raise BenchError(f"pair {query.id}: a name is not of the query's subset")
    content = json.dumps({"version": _CIRR_VERSION, "metric": metric, **lists})
    if len(content.encode()) > _CIRR_BYTES:
        raise BenchError(f"the {metric} file has {len(content):,} bytes; the server takes 5 MB")
    return SubmissionFile(f"cirr_{task.split}_{metric}.json", content)


def circo_file(lists: Lists, task: Task) -> SubmissionFile:
    """CIRCO's file: 50 whole-number ids a query.

    Raises:
        BenchError: If a query is missing, a list has the wrong length, an id comes twice or is not
            a number.
    """
    _check_lists(lists, task, _CIRCO_LENGTH)
    numbers: dict[str, list[int]] = {}
    for key, names in lists.items():
        if not all(name.isdecimal() for name in names):
            raise BenchError(f"query {key}: ids of CIRCO are whole numbers")
        numbers[key] = [int(name) for name in names]
    return SubmissionFile(f"circo_{task.split}.json", json.dumps(numbers))


def _check_lists(lists: Mapping[str, Sequence[str]], task: Task, length: int) -> None:
    wanted = {query.id for query in task.queries}
    if wanted != set(lists):
        odd = sorted(wanted ^ set(lists))
        raise BenchError(f"{len(odd):,} queries are missing or unknown, e.g. {odd[0]!r}")
    known = set(task.gallery)
    for key, names in lists.items():
        if len(names) != length:
            raise BenchError(f"query {key}: {len(names)} images; the server wants {length}")
        if len(set(names)) != length:
            raise BenchError(f"query {key}: an image comes twice; the server refuses that")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise BenchError(f"query {key}: {unknown[0]!r} is not an image of {task.split}")


def write_files(files: Sequence[SubmissionFile], folder: Path) -> tuple[Path, ...]:
    """Write checked files into a folder; returns their paths.

    Raises:
        BenchError: If one cannot be written.
    """
    paths = tuple(folder / file.name for file in files)
    for path, file in zip(paths, files, strict=True):
        write_text(path, file.content)
    return paths
