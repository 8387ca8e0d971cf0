"""What caches of features share: how they know a picture, and a note of how far they are.

A cache is one or more data files that are written row by row, and a note beside them. The note is
believed only where the data files are there as it must have left them; else the cache begins anew.
One process fills a cache at a time, and another that needs the same one waits for it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from composir.data.file_lock import try_lock
from composir.data.outputs import inside, open_inside
from composir.data.untrusted_json import read_json
from composir.errors import TrainingError
from composir.train.images import TrainingImage

PictureFile: TypeAlias = Path | TrainingImage
KNOWN_BY = 3
LOOK_AGAIN = 0.2
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Progressed:
    """How far a cache is.

    Attributes:
        done: Rows that need no more work, from the first.
        failed: Reason by row, for pictures among them that could not be read.
    """

    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@contextmanager
def filling(stem: Path) -> Iterator[None]:
    """Hold a cache while its rows are computed; waits, and says so, while another process does.

    Args:
        stem: Of the cache's files; its folder is made if missing.

    Raises:
        TrainingError: If it cannot be locked there.
        OutputError: If one of its files is a link.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    for beside in stem.parent.glob(f"{stem.name}*"):
        inside(stem.parent, beside.name)
    path = stem.with_suffix(".lock")
    handle = open_inside(stem.parent, path.name, os.O_RDWR)
    try:
        _wait_for(handle, path)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, path: Path) -> None:
    try:
        told = False
        while not try_lock(handle):
            if not told:
                _LOG.warning("another run is computing the features %s: waiting for it", path.stem)
            told = True
            time.sleep(LOOK_AGAIN)
    except OSError as error:
        raise TrainingError(
            f"the cache {path.parent} cannot be locked: {error}; choose one on a local disk "
            "(--set cache=...)"
        ) from error


def picture_stamp(file: PictureFile) -> str:
    """What a cache knows a picture by, without reading it.

    The end of its path, so that the folder of data sets may lie anywhere; its size and the time it
    was written, so that another picture in its place is noticed.

    Args:
        file: The picture, as a path or a part of a shard.
    """
    if isinstance(file, TrainingImage):
        return f"{file.name}/{file.size}"
    place = "/".join(file.absolute().parts[-KNOWN_BY:])
    try:
        status = file.stat()
    except OSError:
        return f"{place}/-1"
    return f"{place}/{status.st_size}/{status.st_mtime_ns}"


def read_note(note: Path, sizes: Mapping[Path, int], rows: int) -> Progressed:
    """How far a cache is; nothing is done where its note or its data cannot be believed.

    Args:
        note: Written by `write_note`.
        sizes: Bytes of each data file, which are those of the whole from the start.
        rows: How many there are to do.
    """
    if not all(has_size(path, size) for path, size in sizes.items()):
        return Progressed()
    try:
        state = read_json(note, TrainingError)
    except TrainingError:  # none yet, or cut off
        return Progressed()
    return _checked(state, rows)


def write_note(note: Path, state: Progressed) -> None:
    """Say how far a cache is, after the rows themselves are on disk.

    Args:
        note: Replaced in one step, so that it is never half written.
        state: What is done.
    """
    unfinished = note.with_suffix(".partial")
    unfinished.write_text(
        json.dumps({"done": state.done, "failed": state.failed}), encoding="utf-8"
    )
    unfinished.replace(note)


def has_size(path: Path, size: int) -> bool:
    """Whether a file is there with so many bytes."""
    return path.is_file() and path.stat().st_size == size


def _checked(state: Any, rows: int) -> Progressed:
    if not isinstance(state, dict):
        return Progressed()
    done, failed = state.get("done"), state.get("failed", {})
    if type(done) is not int or not 0 <= done <= rows or not isinstance(failed, dict):
        return Progressed()
    if not all(row.isascii() and row.isdecimal() and len(row) < 19 for row in failed):
        return Progressed()
    if not all(int(row) < done for row in failed):
        return Progressed()
    return Progressed(done, {row: str(why) for row, why in failed.items()})
