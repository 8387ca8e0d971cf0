"""Finding and reading annotation files, with messages that name the file and the entry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from composir.data.files import read_regular_text
from composir.errors import DatasetError

_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def find_root(root: Path, names: Iterable[str], marker: str) -> Path:
    """Find a data set's folder: the given one, or one of the usual names below it.

    Args:
        root: What the user gave.
        names: Usual names of the folder.
        marker: A path, relative to the folder, that tells it from others.

    Returns:
        The folder that holds `marker`.

    Raises:
        DatasetError: If there is none.
    """
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


def read_json(path: Path, kind: type) -> Any:
    """Read an annotation file.

    Args:
        path: The file.
        kind: `list` or `dict`, whichever it has to hold.

    Returns:
        What it holds.

    Raises:
        DatasetError: If it is missing, not JSON, or holds something else.
    """
    content = parse_json(str(path), _text(path, "this annotation file is missing"), ", line {}")
    if not isinstance(content, kind):
        raise DatasetError(f"{path}: holds a {type(content).__name__}, not a {kind.__name__}")
    return content


def parse_json(where: str, text: str, line: str = "") -> Any:
    """Read one JSON value.

    Args:
        where: File, or file and line, for messages.
        text: The value.
        line: Added to `where` for a mistake of spelling, with the line within the text.

    Returns:
        What it says.

    Raises:
        DatasetError: If it is not JSON, or is beyond what can be read.
    """
    try:
        value = json.loads(text)
        _refuse_halves(where, text, value)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{where}{line.format(error.lineno)}: not JSON ({error.msg})") from error
    except RecursionError as error:
        raise DatasetError(f"{where}: lists or objects are nested too deeply to be read") from error
    except ValueError as error:  # Python's limit against slow conversions
        raise DatasetError(
            f"{where}: a whole number of more than 4,300 digits; write it as a string"
        ) from error
    return value


def _refuse_halves(where: str, text: str, value: object) -> None:
    """Halves of surrogate pairs get through `json`, but cannot be written into a result file."""
    if not _ESCAPED_HALF.search(text):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{where}: half of a surrogate pair (\\ud800 to \\udfff by itself) is no text; "
            f"write the whole character"
        ) from error


def read_entries(
    path: Path, keys: Iterable[str], expected: int | None = None
) -> Iterator[tuple[str, Any]]:
    """Read a list of annotations.

    Args:
        path: The file.
        keys: What every entry has to have.
        expected: How many entries the version that we know has; None for any number.

    Yields:
        Where the entry is, for messages, and the entry.

    Raises:
        DatasetError: If the file is of another version: another number of entries, or keys
            missing.
    """
    entries = read_json(path, list)
    if expected is not None and len(entries) != expected:
        raise DatasetError(
            f"{path}: {len(entries):,} entries, but the version that this protocol is for has "
            f"{expected:,}; is it another version, or cut short?"
        )
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        absent = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if absent:
            raise DatasetError(f"{where}: no {absent[0]!r}; is it a file of another version?")
        yield where, entry


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Read a text file's non-empty lines, each with where it is.

    Raises:
        DatasetError: If the file cannot be read or is not UTF-8.
    """
    text = _text(path, "this file is missing")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", line


def refuse_repeated(named: Iterable[tuple[str, str]], what: str) -> None:
    """Check that no name stands on two lines.

    Args:
        named: Where each name stands, and the name.
        what: What is named, for the message.

    Raises:
        DatasetError: Naming both places of the first name that comes twice.
    """
    first: dict[str, str] = {}
    for where, name in named:
        if name in first:
            raise DatasetError(f"{where}: the {what} {name!r} comes twice, first in {first[name]}")
        first[name] = where


def _text(path: Path, missing: str) -> str:
    try:
        return read_regular_text(path, encoding="utf-8-sig")  # spreadsheets begin files with a mark
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: {missing}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text ({error})") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
