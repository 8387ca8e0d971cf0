"""Files for the CIRR and CIRCO servers, checked against their rules before they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.bench.protocol import Rankings
from composir.bench.task import BenchTask
from composir.data.fields import Text
from composir.data.files import read_regular
from composir.data.outputs import check_folder, inside, write_inside
from composir.data.schema import as_row
from composir.data.untrusted_json import MANIFEST_LIMIT, read_json
from composir.errors import BenchError, OutputError

MARKER = "composir-submission.json"
"""Beside the files, whose form is the servers' and has no room for a mark: checksums of ours."""

_FORMAT = "composir-submission"
_CIRR_VERSION = "rc2"
_CIRR_LENGTHS = {"recall": 50, "recall_subset": 3}
_CIRR_BYTES = 5_000_000
_CIRCO_LENGTH = 50

Lists = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class _Marker:
    """What `MARKER` says, as far as it is read."""

    sha256: list[Text]


@dataclass(frozen=True, slots=True)
class SubmissionFile:
    """One file for a server, already checked."""

    name: str
    content: str


def submission_names(kind: str, task: BenchTask) -> tuple[str, ...]:
    """How a server's files will be called, see `submission_files`."""
    if kind == "circo":
        return (f"circo_{task.split}.json",)
    return tuple(f"cirr_{task.split}_{metric}.json" for metric in _CIRR_LENGTHS)


def submission_files(kind: str, task: BenchTask, rankings: Rankings) -> tuple[SubmissionFile, ...]:
    """Make a server's files."""
    lists = _lists(task, rankings.top.tolist())
    if kind == "circo":
        return (circo_file(lists, task),)
    if rankings.top_subset is None:
        raise BenchError("the CIRR server also wants the ranking of the subset; there is none")
    subset = _lists(task, rankings.top_subset.tolist())
    return cirr_file(lists, "recall", task), cirr_file(subset, "recall_subset", task)


def _lists(task: BenchTask, rows: Sequence[Sequence[int]]) -> Lists:
    return {
        query.id: [task.gallery[column] for column in row if column >= 0]
        for query, row in zip(task.queries, rows, strict=True)
    }


def cirr_file(lists: Lists, metric: str, task: BenchTask) -> SubmissionFile:
    """CIRR's file for one metric."""
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


def circo_file(lists: Lists, task: BenchTask) -> SubmissionFile:
    """CIRCO's file: 50 whole-number ids a query."""
    _check_lists(lists, task, _CIRCO_LENGTH)
    numbers: dict[str, list[int]] = {}
    for key, names in lists.items():
        if not all(name.isdecimal() for name in names):
            raise BenchError(f"query {key}: ids of CIRCO are whole numbers")
        numbers[key] = [int(name) for name in names]
    return SubmissionFile(f"circo_{task.split}.json", json.dumps(numbers))


def _check_lists(lists: Mapping[str, Sequence[str]], task: BenchTask, length: int) -> None:
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


def check_submission(names: Sequence[str], folder: Path) -> None:
    """Refuse a folder in which files of these names are somebody else's."""
    check_folder(folder, "--submission")
    ours = _checksums(folder)
    for name in names:
        path = inside(folder, name)
        if path.is_dir() or (path.exists() and _checksum(read_regular(path)) not in ours):
            raise OutputError(
                f"--submission {path}: is there already and composir has not written it, or it was "
                "changed since; choose another folder, or delete it first"
            )


def write_files(files: Sequence[SubmissionFile], folder: Path) -> tuple[Path, ...]:
    """Write checked files into a folder; returns their paths."""
    check_submission([file.name for file in files], folder)
    ours = sorted({*_checksums(folder), *(_checksum(file.content.encode()) for file in files)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_inside(folder, MARKER, json.dumps({"format": _FORMAT, "sha256": ours}) + "\n")
        return tuple(write_inside(folder, file.name, file.content) for file in files)
    except OSError as error:
        raise OutputError(f"--submission {folder}: cannot be written ({error})") from error


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksums(folder: Path) -> list[str]:
    """Of the files that composir has written there so far."""
    path = inside(folder, MARKER)
    if not path.exists():
        return []
    try:
        said = read_json(path, OutputError, limit=MANIFEST_LIMIT)
        return as_row(str(path), said, _Marker, OutputError).sha256
    except OutputError as error:
        raise OutputError(f"--submission {path}: is damaged; choose another folder") from error
