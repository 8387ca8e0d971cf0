"""Errors of the disk and of Lance about the disk, turned into ones that say what to do.

What is at fault is told apart: the gallery's contents (repair it), the right to read or to write
them, the disk, or what this process may use.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from composir.errors import DiskFullError, GalleryError
from composir.gallery.damage import (
    VersionGoneError,
    cause_of,
    damaged,
    is_from_lance,
    system_error_number,
)

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
