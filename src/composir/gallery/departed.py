"""Which rows leave at the end of an index run: deleted files, emptied folders, moved folders.

And what it says where it keeps rows in doubt, or finds nothing at all.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from composir.data.remote_paths import as_path, is_remote
from composir.data.volumes import lies_below
from composir.gallery import rows
from composir.gallery.key_lists import KeyList
from composir.gallery.known import ContentSet, KnownFiles, content_key
from composir.gallery.manifest import GalleryManifest
from composir.gallery.presence import Presence, Whereabouts
from composir.gallery.store import Store
from composir.images.containers import CONTAINERS
from composir.images.formats import PICTURE_SUFFIXES
from composir.images.scan import ScanNotes

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

    ids: KeyList = field(default_factory=KeyList)  # of those that leave
    contents: KeyList = field(default_factory=KeyList)  # of theirs
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
            result.ids.append_id(image_id)
            result.contents.append(content_key(content))
            if root in emptied:
                result.emptied[root] += 1
        else:
            result.kept[root] += 1
    return result


@dataclass(slots=True)
class Moves:
    """What became of the roots that this run was not about."""

    # Rows whose files are gone and whose contents lie under the roots of the run.
    ids: KeyList = field(default_factory=KeyList)
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
            result.ids.append_id(image_id)
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
