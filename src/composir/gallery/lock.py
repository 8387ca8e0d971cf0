"""One indexer at a time: a lock of the operating system, which dies with its process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from composir.data.file_lock import try_lock
from composir.data.outputs import open_inside, refuse_links
from composir.data.untrusted_json import read_json
from composir.errors import GalleryBusyError

LOCK_NAME = "index.lock"
_MOST_BYTES = 4096


@contextmanager
def index_lock(folder: Path) -> Iterator[None]:
    """Hold the gallery for indexing.

    The operating system frees the lock when the process ends in whatever way, so what a killed
    process leaves behind is only a file and blocks nobody.
    """
    refuse_links(folder)  # whoever holds the lock may write anywhere in there
    path = folder / LOCK_NAME
    handle = open_inside(folder, LOCK_NAME, os.O_RDWR)
    try:
        if not try_lock(handle):
            raise GalleryBusyError(_who(path, folder))
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(_me()).encode())
        yield
    finally:
        os.close(handle)


def _me() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _who(path: Path, folder: Path) -> str:
    try:
        holder = read_json(path, GalleryBusyError, dict, limit=_MOST_BYTES)
        who = "process {pid:d} on {host:s} (since {since:s} UTC)".format_map(holder)
    except (GalleryBusyError, KeyError, TypeError, ValueError):
        who = "another process"  # it holds the lock but has not signed yet
    return (
        f"the gallery {folder} is being indexed by {who}; "
        "wait until it has finished, or stop it. Searching goes on meanwhile"
    )
