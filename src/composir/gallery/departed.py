"""Which rows leave at the end of an index run: deleted files, emptied folders, moved folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from composir.data.remote_paths import as_path
from composir.data.volumes import lies_below
from composir.gallery import rows
from composir.gallery.known import ContentSet, KnownFiles, content_key
from composir.gallery.manifest import GalleryManifest
from composir.gallery.presence import Presence, Whereabouts
from composir.gallery.store import Store
from composir.images.scan import ScanNotes

_MISSING = {Presence.DELETED, Presence.ROOT_MISSING}
_SAMPLE = 64


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking through the roots of a run gave.

    Attributes:
        manifest: Of the gallery, before the run.
        found: Pictures by root.
        notes: What else the scan met.
        failures: Paths of files that could not be read.
        unreachable: Folders and files that nothing is known about.
    """

    manifest: GalleryManifest
    found: Mapping[str, int]
    notes: ScanNotes
    failures: Mapping[str, object]
    unreachable: Sequence[str]

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
    """Rows that leave, and rows that stay although their files were not found.

    Attributes:
        ids: Of those that leave.
        contents: Keys of their contents.
        emptied: How many of them belong to a root in which no picture is left.
        kept: How many stay, by root or disk.
    """

    ids: list[str] = field(default_factory=list)
    contents: Counter[int] = field(default_factory=Counter)
    emptied: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)


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
    """What became of the roots that this run was not about.

    Attributes:
        ids: Rows whose files are gone and whose contents lie under the roots of the run.
        moved: How many of them, by the root that they left.
        left: Rows that stay, by roots that are missing as a whole.
        finished: Roots that are missing and that no row is left of.
    """

    ids: list[str] = field(default_factory=list)
    moved: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
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
    for batch in store.stream(["path", "path_bytes", "size"]):
        for row in batch.to_pylist():
            path = str(rows.decode_path(row["path"], row["path_bytes"]))
            if lies_below(path, root) and path != root:
                found.append((path[len(root.rstrip(os.sep)) + 1 :], row["size"]))
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
