"""Where results go: checked before a long run begins, and written with clear errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from composir.bench.task import writable
from composir.errors import BenchError


def check_destinations(
    *, files: Mapping[str, Path | None], folders: Mapping[str, Path | None] | None = None
) -> None:
    """Refuse destinations that cannot be written, before anything is computed.

    Args:
        files: By option, files to be written; None where the option was not given.
        folders: By option, folders that files are to be written into.

    Raises:
        BenchError: If a file is a folder or the other way round, or may not be written.
    """
    for option, file in files.items():
        if file is not None:
            _check(option, file, _why_no_file)
    for option, folder in (folders or {}).items():
        if folder is not None:
            _check(option, folder, _why_no_folder)


def check_name(what: str, text: str | None) -> None:
    """Check that a name or path can be written into a result file.

    Args:
        what: Whose it is, for the message, e.g. an option.
        text: The name or path; None where there is none.

    Raises:
        BenchError: If it is not valid UTF-8.
    """
    if text is not None and not writable(text):
        raise BenchError(
            f"{what} {text}: not valid UTF-8, so result files cannot name it; rename it, or move "
            f"it to where every folder's name is valid"
        )


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file, and the folder that it lies in.

    Raises:
        BenchError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        # `mkdir` says "File exists" of a file in the way; the path tells which one.
        place = error.filename or path
        raise BenchError(
            f"{path}: cannot be written ({place}: {error.strerror or error}); choose another place"
        ) from error


def _check(option: str, path: Path, why_not: Callable[[Path], str | None]) -> None:
    try:
        problem = why_not(path)
    except OSError as error:  # e.g. a name that is too long
        problem = error.strerror or str(error)
    if problem:
        raise BenchError(f"{option} {path}: {problem}; choose another place")


def _why_no_file(path: Path) -> str | None:
    if path.is_dir():
        return "is a folder, but a file is to be written"
    if path.exists():
        return None if os.access(path, os.W_OK) else "may not be written"
    return _why_not_into(path.parent)


def _why_no_folder(path: Path) -> str | None:
    if path.exists() and not path.is_dir():
        return "is a file, but a folder is needed"
    return _why_not_into(path)


def _why_not_into(folder: Path) -> str | None:
    """The folder itself may be missing; then the nearest one above it has to take it."""
    above = folder
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        return f"{above} is no folder"
    return None if os.access(above, os.W_OK | os.X_OK) else f"{above} may not be written into"
