"""Find the picture files under some folders, as a stream, in the same order every time.

What counts: regular files with a known ending (`PICTURE_SUFFIXES`, for a gallery `INDEXED`; files
without any ending are left out, they are rarely pictures), and whatever file is named as a root
itself. Left out: hidden files and folders, folders that systems make (`@eaDir` and the like),
composir's own galleries, and what `exclude` matches. Symbolic links are followed, but every real
folder is entered once and every real file found once, under its own path rather than a link's where
both are to be had.

Memory: the names of the folders on the way down, and one number pair for each folder seen.
"""

# Strings instead of Path objects within: there may be millions of files.
# ruff: noqa: PTH100, PTH114, PTH115, PTH116, PTH118, PTH122, PTH206

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from composir.data.excludes import Excludes, RootPatterns
from composir.data.places import GALLERY_MANIFEST
from composir.data.volumes import Volume, device_of, lies_below
from composir.errors import GalleryError
from composir.images.containers import CONTAINERS, Member
from composir.images.formats import PICTURE_SUFFIXES
from composir.types import Failure

_SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
_Kind: TypeAlias = Literal["folder", "file", "link"]
_LONGEST_ENDING = 12
_MOST_ENDINGS = 200
OTHER_ENDINGS = "other"
NO_ENDING = "no ending"


INDEXED = PICTURE_SUFFIXES | frozenset(CONTAINERS)
"""Endings of what a gallery takes: pictures, and files that hold some."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to index, or a picture inside of one."""

    path: Path  # absolute, as reached from its root (links are not resolved)
    root: Path  # the root that it was found under; the file itself where that was the root
    size: int  # bytes
    mtime_ns: int  # time of the last change, nanoseconds since 1970
    inside: Inside | None = None  # where its bytes are; None of a file of its own


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a picture is to be found that is no file of its own."""

    file: FoundFile  # the container
    member: Member


@dataclass(slots=True)
class ScanNotes:
    """What a scan meets beside pictures."""

    # How many files with an ending that is no picture's were passed over, by ending in lower case;
    # `OTHER_ENDINGS` for those that are no usual ending.
    other_kinds: Counter[str] = field(default_factory=Counter)
    # By root, other disks that are mounted below it or that links below it lead to.
    volumes: dict[str, list[Volume]] = field(default_factory=dict)
    thinned: set[str] = field(default_factory=set)  # roots below which a pattern left something out

    def count_other(self, name: str) -> None:
        """Count a file that is no picture by its name."""
        ending = suffix(name)
        is_usual = ending[1:].isalnum() and len(ending) <= _LONGEST_ENDING
        is_known = ending in self.other_kinds or len(self.other_kinds) < _MOST_ENDINGS
        if not ending:
            ending = NO_ENDING
        elif not (is_usual and is_known):
            ending = OTHER_ENDINGS
        self.other_kinds[ending] += 1

    def add_volume(self, root: str, folder: str, device: int) -> None:
        """Note the topmost folder of another disk."""
        known = self.volumes.setdefault(root, [])
        if not any(v.device == device and lies_below(folder, v.folder) for v in known):
            known.append(Volume(folder, device))


def scan(
    roots: Sequence[Path],
    *,
    exclude: Sequence[str] | Excludes = (),
    notes: ScanNotes | None = None,
    endings: frozenset[str] = PICTURE_SUFFIXES,
) -> Iterator[FoundFile | Failure]:
    """Find files with these endings, in lower case."""
    absolute = [Path(os.path.abspath(root)) for root in dict.fromkeys(roots)]
    for root in absolute:
        _check_root(root)
    patterns = exclude if isinstance(exclude, Excludes) else Excludes(absolute, exclude)
    return _Scan(absolute, patterns, notes or ScanNotes(), endings).run()


def _check_root(root: Path) -> None:
    try:
        root.stat()
    except OSError as error:
        raise GalleryError(
            f"cannot index {root}: {error.strerror}; check the spelling, and that its disk is there"
        ) from error
    if (root / GALLERY_MANIFEST).exists():
        raise GalleryError(
            f"{root} is a gallery that composir made, not a folder of pictures; "
            "name the folder with your pictures"
        )


class _Scan:
    def __init__(
        self, roots: list[Path], exclude: Excludes, notes: ScanNotes, endings: frozenset[str]
    ) -> None:
        self._roots, self._notes, self._endings = roots, notes, endings
        self._real_roots = [os.path.realpath(root) for root in roots]
        self._patterns = [exclude.of_root(root) for root in roots]
        self._folders: set[tuple[int, int]] = set()
        # Only files that could be met twice: those behind links and those named as roots.
        self._files: set[tuple[int, int]] = set()

    def run(self) -> Iterator[FoundFile | Failure]:
        for root, real, patterns in zip(self._roots, self._real_roots, self._patterns, strict=True):
            if root.is_dir():
                yield from self._walk(root, patterns)
            elif not self._is_reached_anyway(real, is_folder=False):
                yield from self._look_at(str(root), root, may_repeat=True)

    def _walk(self, root: Path, patterns: RootPatterns) -> Iterator[FoundFile | Failure]:
        device = device_of(root)
        pending: list[tuple[str, _Kind]] = [(str(root), "folder")]
        while pending:
            path, kind = pending.pop()
            target = self._behind(path) if kind == "link" else kind
            if target == "file":
                yield from self._look_at(path, root, may_repeat=kind == "link")
            elif target == "folder":
                try:
                    pending.extend(reversed(self._list(path, str(root), device, patterns)))
                except OSError as error:
                    yield Failure(Path(path), f"folder cannot be read: {error.strerror}")

    def _list(
        self, folder: str, root: str, device: int | None, patterns: RootPatterns
    ) -> list[tuple[str, _Kind]]:
        """What to look at in a folder, by name; nothing where it was seen or is a gallery."""
        identity = _identity(os.stat(folder))
        if identity in self._folders or os.path.lexists(os.path.join(folder, GALLERY_MANIFEST)):
            return []
        self._folders.add(identity)
        if identity[0] != device:
            self._notes.add_volume(root, folder, identity[0])
        kept: list[tuple[str, _Kind]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if patterns.match(entry.path, root):
                    self._notes.thinned.add(root)
                elif kind := _kind(entry, self._endings):
                    kept.append((entry.path, kind))
                elif not is_left_out(entry.name):
                    self._notes.count_other(entry.name)
        return sorted(kept)

    def _look_at(self, path: str, root: Path, *, may_repeat: bool) -> Iterator[FoundFile | Failure]:
        try:
            status = os.stat(path)
        except OSError as error:
            if os.path.lexists(path):  # else it was deleted a moment ago
                yield Failure(Path(path), _why_not(path, error))
            return
        if not stat.S_ISREG(status.st_mode):
            yield Failure(Path(path), "not a regular file (a pipe, socket or device)")
            return
        if may_repeat or self._files:
            identity = _identity(status)
            if identity in self._files:
                return
            if may_repeat:
                self._files.add(identity)
        yield FoundFile(Path(path), root, status.st_size, status.st_mtime_ns)

    def _behind(self, link: str) -> _Kind | None:
        """What a link leads to, if it is to be looked at under the link's path."""
        try:
            is_folder = stat.S_ISDIR(os.stat(link).st_mode)
        except OSError:
            is_folder = False  # broken: worth a word if it is named like a picture
        else:
            if self._is_reached_anyway(os.path.realpath(link), is_folder=is_folder):
                return None
        if is_folder:
            return "folder"
        return "file" if suffix(link) in self._endings else None

    def _is_reached_anyway(self, real: str, *, is_folder: bool) -> bool:
        """Whether the walk comes to a real path by itself, or the path is above a root."""
        return any(
            self._is_reached_from(root, patterns, real, is_folder=is_folder)
            or (is_folder and _relative(root, real) is not None)
            for root, patterns in zip(self._real_roots, self._patterns, strict=True)
        )

    def _is_reached_from(
        self, root: str, patterns: RootPatterns, real: str, *, is_folder: bool
    ) -> bool:
        relative = _relative(real, root)
        if not relative:
            return relative == "" and is_folder
        if not is_folder and suffix(real) not in self._endings:
            return False
        path = root
        for part in relative.split(os.sep):
            if os.path.lexists(os.path.join(path, GALLERY_MANIFEST)):
                return False
            path = os.path.join(path, part)
            if is_left_out(part) or patterns.match(path, root):
                return False
        return True


def _kind(entry: os.DirEntry[str], endings: frozenset[str]) -> _Kind | None:
    if is_left_out(entry.name):
        return None
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if suffix(entry.name) in endings else None


def is_left_out(name: str) -> bool:
    """Whether a file or folder of a name is hidden, or a system's own."""
    return name.startswith(".") or name in _SYSTEM_FOLDERS


def suffix(path: str) -> str:
    """The ending of a name with its dot, in lower case; "" where it has none."""
    return os.path.splitext(path)[1].lower()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _relative(path: str, folder: str) -> str | None:
    """Path relative to a folder, "" for the folder itself, None where it lies elsewhere."""
    if path == folder:
        return ""
    prefix = folder if folder.endswith(os.sep) else folder + os.sep
    return path[len(prefix) :] if path.startswith(prefix) else None


def _why_not(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return f"broken link to {os.readlink(path)}"
    return f"cannot be looked at: {error.strerror}"
