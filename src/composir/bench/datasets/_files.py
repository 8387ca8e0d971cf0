"""Finding and reading annotation files, with messages that name the file and the entry."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from composir.data.fields import FileRow
from composir.data.schema import as_row
from composir.data.untrusted_json import read_json
from composir.errors import DatasetError

_Entry = TypeVar("_Entry", bound=FileRow)


def find_root(root: Path, names: Iterable[str], marker: str) -> Path:
    """Find a data set's folder: the given one, or one of the usual names below it."""
    candidates = [root, *(root / name for name in names)]
    for candidate in candidates:
        if (candidate / marker).exists():
            return candidate
    looked = ", ".join(str(candidate / marker) for candidate in candidates)
    raise DatasetError(f"no {marker} below {root}; looked for {looked}")


def first_existing(root: Path, names: Iterable[str]) -> Path:
    """The first of some folders that exists; the first name if none does."""
    folders = [root / name for name in names]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def read_annotations(path: Path, kind: type) -> Any:
    """Read an annotation file."""
    missing = "this annotation file is missing"
    return read_json(path, DatasetError, kind, missing=missing, halves=False)


def read_entries(
    path: Path, model: type[_Entry], expected: int | None = None
) -> list[tuple[str, _Entry]]:
    """Read a list of annotations.

    Args:
        path: The file.
        model: What every entry has to hold.
        expected: How many entries the version that we know has; None for any number.
    """
    entries = read_annotations(path, list)
    if expected is not None and len(entries) != expected:
        raise DatasetError(
            f"{path}: {len(entries):,} entries, but the version that this protocol is for has "
            f"{expected:,}; is it another version, or cut short?"
        )
    places = [f"{path}, entry {number}" for number in range(len(entries))]
    return [
        (where, as_row(where, entry, model, DatasetError))
        for where, entry in zip(places, entries, strict=True)
    ]


def refuse_repeated(named: Iterable[tuple[str, str]], what: str) -> None:
    """Check that no name stands on two lines."""
    first: dict[str, str] = {}
    for where, name in named:
        if name in first:
            raise DatasetError(f"{where}: the {what} {name!r} comes twice, first in {first[name]}")
        first[name] = where
