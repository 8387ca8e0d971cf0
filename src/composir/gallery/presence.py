"""Whether the file of a row is still there, was deleted, or lies where nothing can be reached now.

Only the second is certain knowledge: the folder that was indexed is there, and the file is not. A
folder that is missing as a whole, another disk than the one remembered, a broken link and a refusal
of the system all leave it open.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from enum import Enum
from functools import cache
from pathlib import Path

from composir.data.remote_paths import as_path, is_remote
from composir.data.volumes import Volume, lies_below
from composir.gallery.manifest import GalleryManifest
from composir.images.containers import container_of
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
