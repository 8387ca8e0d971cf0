"""Find pictures in object stores: what `scan` does for folders, by their listings alone.

Folders are listed one after the other, in the order of their names, so memory is the names of one
folder. A listing that fails is an error, never an empty folder: nothing is dropped after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from composir.data.excludes import Excludes, RootPatterns
from composir.data.object_store import Entry, check_address, list_folder, name_in_store
from composir.data.places import GALLERY_MANIFEST
from composir.data.remote_paths import RemotePath
from composir.images.scan import INDEXED, FoundFile, ScanNotes, is_left_out, suffix
from composir.types import Failure

_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
_MARKS = ("ETag", "etag", "generation", "blob_id", "md5Hash")
_UNFIT = "a name with an empty part, `.` or `..`"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9


def scan_stores(
    roots: Sequence[Path], exclude: Excludes, notes: ScanNotes
) -> Iterator[FoundFile | Failure]:
    """Find picture files.

    Args:
        roots: Addresses of folders and single files.
        exclude: Patterns; what they leave out is not listed.
        notes: Takes what else is met.

    Raises:
        ObjectStoreError: If a root is not there, or anything cannot be listed.
    """
    seen: set[str] = set()
    for root in dict.fromkeys(map(RemotePath, roots)):
        yield from _StoreScan(root, exclude.of_root(root), notes, seen).run()


class _StoreScan:
    """The scan of one root; `seen` are folders, and files named as roots, of those before it."""

    def __init__(
        self, root: RemotePath, patterns: RootPatterns, notes: ScanNotes, seen: set[str]
    ) -> None:
        self._root, self._patterns, self._notes, self._seen = root, patterns, notes, seen

    def run(self) -> Iterator[FoundFile | Failure]:
        """List the root and what lies below it."""
        check_address(self._root)
        own, entries = name_in_store(self._root), list_folder(self._root)
        if [(one["name"], one["type"]) for one in entries] != [(own, "file")]:
            yield from self._walk(self._root, entries)
        elif self._seen.isdisjoint({str(self._root), str(self._root.parent)}):
            self._seen.add(str(self._root))
            yield self._found(self._root, entries[0])

    def _walk(self, folder: RemotePath, entries: list[Entry]) -> Iterator[FoundFile | Failure]:
        if str(folder) in self._seen:
            return
        self._seen.add(str(folder))
        kept, problems = self._look(folder, entries)
        yield from problems
        for path, entry in sorted(kept, key=lambda one: one[0]):
            if str(path) in self._seen:
                continue
            if entry["type"] == "directory":
                yield from self._walk(path, list_folder(path))
            else:
                yield self._found(path, entry)

    def _look(
        self, folder: RemotePath, entries: list[Entry]
    ) -> tuple[list[tuple[RemotePath, Entry]], list[Failure]]:
        """What to look at in a folder, and names that cannot be; nothing where it is a gallery."""
        kept: list[tuple[RemotePath, Entry]] = []
        problems: list[Failure] = []
        before = name_in_store(folder).rstrip("/") + "/"
        for entry in entries:
            given = str(entry["name"]).removeprefix(before)
            name = given.rstrip("/")
            is_folder = entry["type"] == "directory"
            if name == GALLERY_MANIFEST:
                return [], []
            if name + "/" == before or (not name and not is_folder):
                continue  # an object that stands for the folder itself
            if not name or name in {".", ".."} or "/" in name:
                problems.append(Failure(RemotePath(f"{folder}/{name!r}"), _UNFIT))
            elif self._patterns.match(f"{folder}/{name}", str(self._root)):
                self._notes.thinned.add(str(self._root))
            elif not is_left_out(name):
                if is_folder or suffix(name) in INDEXED:
                    kept.append((RemotePath(f"{folder}/{name}"), entry))
                else:
                    self._notes.count_other(name)
        return kept, problems

    def _found(self, path: RemotePath, entry: Entry) -> FoundFile | Failure:
        if entry["size"] is None:
            return Failure(path, "its store does not say how large it is")
        return FoundFile(path, self._root, int(entry["size"]), changed_ns(entry))


def changed_ns(entry: Entry) -> int:
    """When a file was changed, nanoseconds since 1970, as far as its store says.

    Stores count whole seconds as a rule, so what is below a second is made of the ETag or the like,
    where there is one: a change within the second shows as well.
    """
    when, marks = 0, [str(entry[name]) for name in _MARKS if entry.get(name)]
    told = next((entry[name] for name in _TIMES if entry.get(name)), None)
    try:
        when = 0 if told is None else _nanoseconds(told)
    except ValueError:
        marks.append(str(told))  # in a form of its own; another one is a change all the same
    if not marks:
        return when
    digest = blake2b("\n".join(marks).encode(), digest_size=8).digest()
    return when // _SECOND * _SECOND + int.from_bytes(digest, "big") % _SECOND


def _nanoseconds(told: Any) -> int:
    if isinstance(told, int | float):
        return int(told * _SECOND)
    moment = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000
