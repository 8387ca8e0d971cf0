"""Errors of the disk, turned into ones that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from composir.errors import GalleryError


@contextmanager
def clear_disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the disk (or of Lance about the disk) into one that says what to do.

    Args:
        folder: The gallery's folder.

    Raises:
        GalleryError: In place of any `OSError` inside the block.
    """
    try:
        yield
    except OSError as error:
        raise GalleryError(_explain(error, folder)) from error


def _explain(error: OSError, folder: Path) -> str:
    text = str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT} or "No space left" in text:
        return (
            f"the disk of the gallery {folder} is full; everything committed so far is safe: "
            "make room and run the same command again"
        )
    if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM} or "Permission denied" in text:
        return (
            f"the gallery {folder} is read-only: it can be searched but not indexed; "
            "make it writable or index into another one with --gallery"
        )
    return f"the gallery {folder} cannot be read or written: {text}"
