"""Errors of the disk and of Lance about the disk, turned into ones that say what to do.

What is at fault is told apart: the gallery's contents (repair it), the right to read or to write
them, the disk, or what this process may use.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from composir.errors import DiskFullError, GalleryDamagedError, GalleryError

_RUST_SOURCE = re.compile(r",?\s+\S*\.rs:\d+(:\d+)?")
_WRAPPERS = re.compile(
    r"^((LanceError\(\w+\)|External error|Invalid user input|Generic \S+ error): )+"
)
_MISSING = re.compile(r"Not found: .*?(images\.lance/.*)")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PANIC = "PanicException"
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = (
    "the disk of the gallery {folder} is full; everything committed so far is safe: "
    "make room and run the same command again"
)
_TOO_MANY_FILES = (
    "too many files are open to use the gallery {folder}, which is not at fault: close some, or "
    "allow more (ulimit -n 4096), and run the same command again"
)
_FAILING = (
    "the disk of the gallery {folder} reports errors: check its connection, and copy what can be "
    "read to another disk before anything else"
)
_TROUBLES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOMEM: "there is not enough memory to use the gallery {folder}, which is not at fault",
    errno.EIO: _FAILING,
    errno.ESTALE: _FAILING,
    errno.ENXIO: _FAILING,
}
_TEXTS = {"No space left": errno.ENOSPC, "Permission denied": errno.EACCES}


class VersionGoneError(OSError):
    """An index run has removed the files of the version at hand; a newer one has them."""


def damaged(folder: Path, fault: str) -> GalleryDamagedError:
    """The error that every verb shows for a damaged gallery."""
    return GalleryDamagedError(
        f"the gallery {folder} is damaged: {fault}. Your pictures are not affected; "
        "keep everything of the gallery that can still be read: "
        f"composir repair {shlex.quote(str(folder))}",
        fault,
    )


def is_from_lance(error: BaseException) -> bool:
    """Whether an error comes out of Lance's depths: they name a source file, or panic."""
    text = str(error)
    return (
        type(error).__name__ == _PANIC  # by name: it is not to be had otherwise
        or _RUST_SOURCE.search(text) is not None
        or text.startswith(("LanceError", "External error"))
    )


def is_gone(error: BaseException, dataset: str) -> bool:
    """Whether Lance misses a file of a dataset of this name."""
    return "Not found: " in str(error) and dataset in str(error)


def system_error_number(error: BaseException) -> int | None:
    """The operating system's number in an error of Lance, where there is one."""
    found = _OS_ERROR.search(str(error))
    return int(found.group(1)) if found and os.name != "nt" else None  # Windows counts otherwise


def cause_of(error: BaseException) -> str:
    """The part of an error of Lance that concerns people."""
    text = _RUST_SOURCE.split(str(error), maxsplit=1)[0]
    missing = _MISSING.search(text)
    if missing:
        return f"{missing.group(1)} is missing"
    if type(error).__name__ == _PANIC:
        return "its contents make no sense to the reader"
    return _WRAPPERS.sub("", text).strip().rstrip(".") or type(error).__name__


@contextmanager
def clear_disk_errors(folder: Path, *, writing: bool = False) -> Iterator[None]:
    """Turn errors of the disk (or of Lance about the disk) into one that says what to do."""
    try:
        yield
    except BaseException as error:
        clear = cleared(error, folder, writing=writing)
        if clear is None:
            raise
        raise clear from error


def cleared(
    error: BaseException, folder: Path, *, writing: bool = False, reading: str = "its table"
) -> GalleryError | None:
    """The error to show in place of one of the disk or of Lance; None for all others."""
    if isinstance(error, VersionGoneError):
        return damaged(folder, cause_of(error))
    if not isinstance(error, OSError) and not is_from_lance(error):
        return None
    number = _number(error)
    if number in _REFUSED:
        return GalleryError(_refused(error, folder, writing))
    if number in _TROUBLES:
        kind = DiskFullError if _TROUBLES[number] is _FULL else GalleryError
        return kind(_TROUBLES[number].format(folder=folder))
    if is_from_lance(error):
        return damaged(folder, f"{reading} cannot be read ({cause_of(error)})")
    return GalleryError(f"the gallery {folder} cannot be read or written: {error}")


def is_trouble(error: OSError) -> bool:
    """Whether the system is at fault (rights, room, limits, hardware), and `cleared` tells how."""
    number = _number(error)
    return number in _REFUSED or number in _TROUBLES


def _number(error: BaseException) -> int | None:
    own = error.errno if isinstance(error, OSError) else None
    number = own if own is not None else system_error_number(error)
    if number is not None:
        return number
    return next((code for text, code in _TEXTS.items() if text in str(error)), None)


def _refused(error: BaseException, folder: Path, writing: bool) -> str:
    unreadable = _first_unreadable(folder)
    if unreadable is not None or not writing:
        named = unreadable or getattr(error, "filename", None) or folder
        return (
            f"the gallery {folder} cannot be read: this user may not read {named}; "
            "ask its owner for the right to read the folder and all that is in it"
        )
    return (
        f"the gallery {folder} is read-only: it can be searched but not indexed; "
        "make it writable or index into another one with --gallery"
    )


def _first_unreadable(folder: Path) -> Path | None:
    """What in a gallery's folder this user may not read."""
    if not os.access(folder, os.R_OK | os.X_OK):
        return folder
    for parent, folders, files in os.walk(folder):
        for name in folders:
            if not os.access(Path(parent, name), os.R_OK | os.X_OK):
                return Path(parent, name)
        for name in files:
            if not os.access(Path(parent, name), os.R_OK):
                return Path(parent, name)
    return None
