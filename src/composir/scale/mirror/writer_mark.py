"""Who is changing a gallery of an object store: `composir-writer.json`, for other machines.

Stores have no locks that die with their process, so the mark of a machine that is gone stays, and a
person has to remove it. A process of the same machine takes its own mark over: there the lock of
the copy says whether the one before is alive.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from composir.data.fields import Text, Whole
from composir.data.object_writes import delete, store_bytes, stored_bytes
from composir.data.remote_paths import RemotePath
from composir.data.schema import fitting
from composir.data.untrusted_json import parse_json
from composir.errors import ComposirError, GalleryBusyError, GalleryError

WRITER_NAME = "composir-writer.json"
_KIND = "a writer's mark; delete it"
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class WriterMark:
    """What the object says: a process of a host, and the folder that it changes there."""

    host: Text
    folder: Text
    pid: Whole
    since: Text
    token: Text


@contextmanager
def marked(address: RemotePath, folder: Path) -> Iterator[None]:
    """Hold a gallery, or a shard, against other machines.

    The caller holds the lock of the folder, this machine's copy of it.

    Raises:
        GalleryBusyError: If another machine holds it.
        ObjectStoreError: If the store does not answer, or nothing may be written there.
    """
    place = RemotePath(address / WRITER_NAME)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = WriterMark(socket.gethostname(), str(folder), os.getpid(), since, uuid4().hex)
    _set(place, mine)
    try:
        yield
    finally:
        with suppress(ComposirError):
            if _read(place) == mine:
                delete([place])


def _set(place: RemotePath, mine: WriterMark) -> None:
    found = _read(place)
    if found is not None and (found.host, found.folder) != (mine.host, mine.folder):
        raise _busy(place, found)
    store_bytes(place, json.dumps(asdict(mine)).encode(), new=found is None)
    now = _read(place)  # not every driver can write only where there is nothing
    if now != mine:
        raise _busy(place, now)


def _read(place: RemotePath) -> WriterMark | None:
    content = stored_bytes(place, _MOST_BYTES)
    if content is None:
        return None
    text = content.decode("utf-8", "replace")
    try:
        value = parse_json(str(place), text, GalleryError)
    except GalleryError as error:
        raise GalleryError(f"{error}: not {_KIND}") from error
    return fitting(place, value, WriterMark, GalleryError, _KIND)


def _busy(place: RemotePath, mark: WriterMark | None) -> GalleryBusyError:
    who = "another machine"
    if mark is not None:
        who = f"process {mark.pid} on {mark.host} (since {mark.since})"
    return GalleryBusyError(
        f"{place.parent} is being changed by {who}; wait until it has finished. If that process "
        f"is gone for good, delete {place}. Searching goes on meanwhile"
    )
