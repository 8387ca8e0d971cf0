"""Writing to disk so that a reader sees the old or the new, never a half."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

TEMPORARY_PREFIX = ".composir-tmp-"
_ABANDONED_SECONDS = 3600.0


def absolute(path: str | os.PathLike[str]) -> Path:
    """The absolute path without `..`; links are kept, so people see the names they know."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


@contextmanager
def replaced_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of a file that takes its place once fully on disk.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        A binary file to write to.

    Raises:
        OSError: If it cannot be written; the old file is then untouched.
    """
    # Not `tempfile`: its files are for their owner alone, and a gallery may be for others to read.
    temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that were killed, told by their age.

    Args:
        folder: Searched without its subfolders.
    """
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
