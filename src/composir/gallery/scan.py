"""Find the picture files under some folders, as a stream, in the same order every time.

What counts: regular files with a known ending (`PICTURE_SUFFIXES`; files without any ending are
left out, they are rarely pictures), and whatever file is named as a root itself. Left out: hidden
files and folders, folders that systems make (`@eaDir` and the like), composir's own galleries, and
what `exclude` matches. Symbolic links are followed, but every real folder is entered once and every
real file found once, under its own path rather than a link's where both are to be had.

Memory: the names of the folders on the way down, and one number pair for each folder seen.
"""

# Strings instead of Path objects within: there may be millions of files.
# ruff: noqa: PTH100, PTH114, PTH115, PTH116, PTH118, PTH119, PTH122, PTH206

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Literal, TypeAlias

from composir.errors import GalleryError
from composir.gallery.manifest import MANIFEST_NAME
from composir.images.formats import PICTURE_SUFFIXES
from composir.types import Failure

_SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
_Kind: TypeAlias = Literal["folder", "file", "link"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to index.

    Attributes:
        path: Absolute, as reached from its root (links are not resolved).
        root: The root that it was found under; the file itself where that was the root.
        size: Bytes.
        mtime_ns: Time of the last change, nanoseconds since 1970.
    """

    path: Path
    root: Path
    size: int
    mtime_ns: int


def scan(roots: Sequence[Path], *, exclude: Sequence[str] = ()) -> Iterator[FoundFile | Failure]:
    """Find picture files.

    Args:
        roots: Folders to search through and single files.
        exclude: Glob patterns. One without `/` is compared with the name of every file and folder
            (`*.gif`, `trash`), one with `/` with the path relative to the root (`2020/raw/*`; `*`
            matches `/` too). An excluded folder is not entered.

    Returns:
        An iterator over files, each folder's entries by name, and over failures: folders that
        cannot be listed (then nothing is known about the files beneath) and files that cannot be
        looked at.

    Raises:
        GalleryError: At once, if a root is missing or is a gallery of composir itself.
    """
    absolute = [Path(os.path.abspath(root)) for root in dict.fromkeys(roots)]
    for root in absolute:
        _check_root(root)
    return _Scan(absolute, exclude).run()


def _check_root(root: Path) -> None:
    try:
        root.stat()
    except OSError as error:
        raise GalleryError(
            f"cannot index {root}: {error.strerror}; check the spelling, and that its disk is there"
        ) from error
    if (root / MANIFEST_NAME).exists():
        raise GalleryError(
            f"{root} is a gallery that composir made, not a folder of pictures; "
            "name the folder with your pictures"
        )


class _Scan:
    def __init__(self, roots: list[Path], exclude: Sequence[str]) -> None:
        self._roots = roots
        self._real_roots = [os.path.realpath(root) for root in roots]
        self._exclude = _Patterns(exclude)
        self._folders: set[tuple[int, int]] = set()
        # Only files that could be met twice: those behind links and those named as roots.
        self._files: set[tuple[int, int]] = set()

    def run(self) -> Iterator[FoundFile | Failure]:
        for root, real in zip(self._roots, self._real_roots, strict=True):
            if root.is_dir():
                yield from self._walk(root)
            elif not self._is_reached_anyway(real, is_folder=False):
                yield from self._look_at(str(root), root, may_repeat=True)

    def _walk(self, root: Path) -> Iterator[FoundFile | Failure]:
        pending: list[tuple[str, _Kind]] = [(str(root), "folder")]
        while pending:
            path, kind = pending.pop()
            target = self._behind(path) if kind == "link" else kind
            if target == "file":
                yield from self._look_at(path, root, may_repeat=kind == "link")
            elif target == "folder":
                try:
                    pending.extend(reversed(self._list(path, str(root))))
                except OSError as error:
                    yield Failure(Path(path), f"folder cannot be read: {error.strerror}")

    def _list(self, folder: str, root: str) -> list[tuple[str, _Kind]]:
        """What to look at in a folder, by name; nothing where it was seen or is a gallery."""
        identity = _identity(os.stat(folder))
        if identity in self._folders or os.path.lexists(os.path.join(folder, MANIFEST_NAME)):
            return []
        self._folders.add(identity)
        with os.scandir(folder) as entries:
            kept = [(entry.path, kind) for entry in entries if (kind := _kind(entry))]
        return sorted(item for item in kept if not self._exclude.match(item[0], root))

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
        return "file" if _suffix(link) in PICTURE_SUFFIXES else None

    def _is_reached_anyway(self, real: str, *, is_folder: bool) -> bool:
        """Whether the walk comes to a real path by itself, or the path is above a root."""
        return any(
            self._is_reached_from(root, real, is_folder=is_folder)
            or (is_folder and _relative(root, real) is not None)
            for root in self._real_roots
        )

    def _is_reached_from(self, root: str, real: str, *, is_folder: bool) -> bool:
        relative = _relative(real, root)
        if not relative:
            return relative == "" and is_folder
        if not is_folder and _suffix(real) not in PICTURE_SUFFIXES:
            return False
        path = root
        for part in relative.split(os.sep):
            if os.path.lexists(os.path.join(path, MANIFEST_NAME)):
                return False
            path = os.path.join(path, part)
            if _is_left_out(part) or self._exclude.match(path, root):
                return False
        return True


class _Patterns:
    def __init__(self, patterns: Sequence[str]) -> None:
        stripped = [pattern.rstrip("/") for pattern in patterns]
        self._names = _any_of([pattern for pattern in stripped if "/" not in pattern])
        self._paths = _any_of([pattern.lstrip("/") for pattern in stripped if "/" in pattern])

    def match(self, path: str, root: str) -> bool:
        if self._names and self._names.match(os.path.basename(path)):
            return True
        if self._paths is None:
            return False
        relative = os.path.relpath(path, root).replace(os.sep, "/")
        return self._paths.match(relative) is not None


def _any_of(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns)) if patterns else None


def _kind(entry: os.DirEntry[str]) -> _Kind | None:
    if _is_left_out(entry.name):
        return None
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if _suffix(entry.name) in PICTURE_SUFFIXES else None


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS


def _suffix(path: str) -> str:
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
