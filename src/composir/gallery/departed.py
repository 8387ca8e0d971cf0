"""Which rows leave at the end of an index run: deleted files, emptied folders, moved folders.

And what it says where it keeps rows in doubt, or finds nothing at all.

That a file was deleted is certain only where the folder that was indexed is there, and the file is
not. A folder that is missing as a whole, another disk than the one remembered, a broken link and a
refusal of the system all leave it open.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path

import numpy as np

from composir.data.remote_paths import Volume, as_path, is_remote, lies_below
from composir.gallery import rows
from composir.gallery.known import ContentSet, KnownFiles, content_key
from composir.gallery.manifest import GalleryManifest
from composir.gallery.store import Store
from composir.images.containers import CONTAINERS, container_of
from composir.images.formats import PICTURE_SUFFIXES
from composir.images.scan import ScanNotes
from composir.types import Absent

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}


class Presence(Enum):
    """What the disk says of a file."""

    THERE = "there"
    DELETED = "deleted"  # the indexed folder is there, the file is not
    # The whole indexed folder is missing, from a disk that is there as far as it is known: deleted,
    # moved, or a disk that nothing is remembered of.
    ROOT_MISSING = "root missing"
    UNREACHABLE = "unreachable"  # its disk is not there, or the system refuses to look
    REMOTE = "remote"  # in an object store, where only an index run looks


class Whereabouts:
    """Looks for files; what is known of the indexed folders is looked up once."""

    def __init__(self, manifest: GalleryManifest) -> None:
        self._manifest = manifest
        self._roots = sorted(manifest.roots, key=len, reverse=True)  # the innermost first
        self._is_mounted = cache(Volume.is_there)
        self._is_folder = cache(os.path.isdir)

    def of(self, path: Path) -> Presence:
        """Look for one file, at the cost of one call of the system where it is there."""
        if is_remote(path):
            return Presence.REMOTE
        file = container_of(path)
        if file is not None:
            path = file  # only an index run looks into it
        try:
            path.stat()
        except OSError as error:
            is_missing = error.errno in _NOT_THERE and not os.path.lexists(path)
            return self._why_missing(str(path)) if is_missing else Presence.UNREACHABLE
        return Presence.THERE

    def root_of(self, path: Path) -> Path:
        """The innermost indexed folder that a file belongs to; else its own folder."""
        return next((as_path(r) for r in self._roots if lies_below(str(path), r)), path.parent)

    def disk_is_there(self, path: str) -> bool:
        """Whether the disk that an indexed file or folder lay on is there, as far as is known."""
        return all(
            self._is_mounted(volume)
            for root in self._roots
            if lies_below(path, root)
            for number, volume in enumerate(self._manifest.facts(root).volumes)
            if number == 0 or lies_below(path, volume.folder)
        )

    def _why_missing(self, path: str) -> Presence:
        if not self.disk_is_there(path):
            return Presence.UNREACHABLE
        # A root that is a file says nothing by itself; the folder that it was in does.
        parent = str(Path(path).parent)
        folders = [parent if r == path else r for r in self._roots if lies_below(path, r)]
        is_there = any(self._is_folder(folder) for folder in folders or [parent])
        return Presence.DELETED if is_there else Presence.ROOT_MISSING


class Absentees:
    """What one search does about hits whose files are not there.

    A deleted file is no hit. A hit on a disk that is not there is one, and is marked, so that a
    gallery can be searched without its disks; a folder that is missing as a whole counts as such.
    """

    def __init__(self, whereabouts: Whereabouts) -> None:
        self._whereabouts = whereabouts
        self._presence = cache(whereabouts.of)

    def is_gone(self, path: Path) -> bool:
        """Whether a file is no longer there for certain."""
        return self._presence(path) is Presence.DELETED

    def is_unreachable(self, path: Path) -> bool:
        """Whether a file cannot be reached now, and may still be somewhere."""
        return self._presence(path) in {Presence.UNREACHABLE, Presence.ROOT_MISSING}

    def told(self, gone: Sequence[Path], shown: Sequence[Path]) -> Absent:
        """What to tell about files that were left out and files that are shown."""
        return Absent(
            left_out=len(gone),
            left_out_from=self._roots(gone),
            unreachable=self._roots([path for path in shown if self.is_unreachable(path)]),
        )

    def _roots(self, paths: Sequence[Path]) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self._whereabouts.root_of(path) for path in paths))


_MISSING = {Presence.DELETED, Presence.ROOT_MISSING}
_SAMPLE = 64
_ENDINGS = PICTURE_SUFFIXES | frozenset(CONTAINERS)


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking through the roots of a run gave."""

    manifest: GalleryManifest  # of the gallery, before the run
    found: Mapping[str, int]  # pictures by root
    notes: ScanNotes  # what else the scan met
    failures: Mapping[str, object]  # paths of files that could not be read
    unreachable: Sequence[str]  # folders and files that nothing is known about

    def root_of(self, path: str) -> str | None:
        """The root of this run that a path belongs to."""
        return next((root for root in self.found if lies_below(path, root)), None)

    def is_emptied(self, root: str) -> bool:
        """Whether no picture is left in a root for certain: its disk is there as it was."""
        volumes = self.manifest.facts(root).volumes
        return (
            not self.found[root]
            and bool(volumes)
            and volumes[0].is_there()
            and root not in self.notes.thinned
        )

    def disks_away(self, root: str) -> list[str]:
        """Where disks below a root are not mounted that were there before."""
        here = {volume.folder for volume in self.notes.volumes.get(root, [])}
        return [
            volume.folder
            for volume in self.manifest.facts(root).volumes[1:]
            if volume.folder not in here and not volume.is_there()
        ]


@dataclass(slots=True)
class Departure:
    """Rows that leave, and rows that stay although their files were not found."""

    ids: list[str] = field(default_factory=list)  # of those that leave
    contents: Counter[int] = field(default_factory=Counter)  # keys of their contents
    # How many of them belong to a root in which no picture is left.
    emptied: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)  # how many stay, by root or disk


def departed(store: Store, known: KnownFiles, looked: Looked) -> Departure:
    """Decide about the rows below the roots of a run whose files were not found."""
    result = Departure()
    if known.all_seen():
        return result
    unseen = known.unseen()
    emptied = {root for root in looked.found if looked.is_emptied(root)}
    away = {root: looked.disks_away(root) for root in looked.found}
    for image_id, content, path in _rows(store):
        root = looked.root_of(path) if int(image_id, 16) in unseen else None
        if root is None or any(lies_below(path, folder) for folder in looked.unreachable):
            continue
        disk = next((folder for folder in away[root] if lies_below(path, folder)), None)
        if disk is not None:
            result.kept[disk] += 1
        elif looked.found[root] or path in looked.failures or root in emptied:
            result.ids.append(image_id)
            result.contents[content_key(content)] += 1
            if root in emptied:
                result.emptied[root] += 1
        else:
            result.kept[root] += 1
    return result


@dataclass(slots=True)
class Moves:
    """What became of the roots that this run was not about."""

    # Rows whose files are gone and whose contents lie under the roots of the run.
    ids: list[str] = field(default_factory=list)
    # How many of them, by the root that they left.
    moved: Counter[str] = field(default_factory=Counter)
    # Rows that stay, by roots that are missing as a whole.
    left: Counter[str] = field(default_factory=Counter)
    # Roots that are missing and that no row is left of.
    finished: set[str] = field(default_factory=set)


def moved_elsewhere(store: Store, looked: Looked) -> Moves:
    """Find the rows of other roots whose pictures lie under the roots of this run by now."""
    result = Moves()
    others = [root for root in looked.manifest.roots if root not in looked.found]
    if not others:
        return result
    here = _contents_below(store, looked)
    whereabouts = Whereabouts(looked.manifest)
    missing = {root for root in others if whereabouts.of(as_path(root)) in _MISSING}
    left: Counter[str] = Counter()
    for image_id, content, path in _rows(store):
        if looked.root_of(path) is not None:
            continue
        owner = str(whereabouts.root_of(as_path(path)))
        if content_key(content) in here and whereabouts.of(as_path(path)) in _MISSING:
            result.ids.append(image_id)
            result.moved[owner] += 1
        else:
            left[owner] += 1
    result.finished = {root for root in missing if not left[root]}
    result.left = Counter({root: left[root] for root in missing if left[root]})
    return result


def former_root(root: Path, store: Store, manifest: GalleryManifest) -> str | None:
    """The root that has become a new one, told by names and sizes of a few of its pictures.

    Only roots with remembered patterns are asked: it is for them that one has to know before
    anything is read. Rows are told apart by content.
    """
    whereabouts = Whereabouts(manifest)
    for old in manifest.roots:
        if not manifest.facts(old).exclude or whereabouts.of(as_path(old)) not in _MISSING:
            continue
        sample = _sample(store, old)
        if sample and sum(_has_size(root, *one) for one in sample) * 2 > len(sample):
            return old
    return None


def _sample(store: Store, root: str) -> list[tuple[str, int]]:
    """Paths relative to a root, and sizes, of some of its pictures."""
    found: list[tuple[str, int]] = []
    for path, row in store.stream_rows(["size"]):
        if lies_below(str(path), root) and str(path) != root:
            found.append((str(path)[len(root.rstrip(os.sep)) + 1 :], row["size"]))
        if len(found) >= _SAMPLE:
            break
    return found


def _has_size(root: Path, relative: str, size: int) -> bool:
    try:
        return (root / relative).stat().st_size == size
    except OSError:
        return False


def _contents_below(store: Store, looked: Looked) -> ContentSet:
    keys = (content_key(c) for _, c, path in _rows(store) if looked.root_of(path) is not None)
    return ContentSet(np.fromiter(keys, dtype=np.uint64))


def _rows(store: Store) -> Iterator[tuple[str, str, str]]:
    """Id, content hash and path of every row."""
    names = ["id", "content_hash", "path", "path_bytes"]
    for batch in store.stream(names):
        for image_id, content, text, raw in zip(
            *(batch[name].to_pylist() for name in names), strict=True
        ):
            yield image_id, content, str(rows.decode_path(text, raw))


def kept_rows(folder: str, count: int, is_known: bool, gallery: Path) -> str:
    """Why rows stay whose files were not found, and what to do."""
    why = "its disk is not mounted." if is_known else "is a disk not mounted?"
    why = "its store lists none now." if is_remote(folder) else why
    return (
        f"no pictures found here, but the gallery has {count:,} from here: {why} Nothing was "
        f"dropped; {_way_out(folder, gallery)}"
    )


def _way_out(folder: str, gallery: Path) -> str:
    command = shlex.join(["composir", "forget", folder, "--gallery", str(gallery)])
    return f"if they are gone for good: {command}"


def nothing_found(
    roots: Sequence[Path], held: int, below: Mapping[str, int], notes: ScanNotes, gallery: Path
) -> str:
    """Why a run ends at once, and what to do."""
    told = f"no pictures found under {', '.join(map(str, roots))}"
    told += f"; the gallery keeps its {held} images" if held else ""
    if below:
        told += f" (is a disk not mounted?); {_way_out(next(iter(below)), gallery)}"
    if notes.thinned:
        told += "; patterns leave some out: see composir info, and --no-exclude"
    return f"{told}. Looked for files ending in {' '.join(sorted(_ENDINGS))}"
