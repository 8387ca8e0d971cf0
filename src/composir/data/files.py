"""Files on disk: read only where they are regular, written so that no reader sees a half."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO
from uuid import uuid4

TEMPORARY_PREFIX = ".composir-tmp-"
READ_LIMIT = 1 << 30
"""Bytes that `read_regular` takes where nobody says otherwise: 1 GiB."""

_ABANDONED_SECONDS = 3600.0
_PART = 1 << 20


class UnfitFileError(OSError):
    """What lies there is no regular file, or larger than its reader takes; `strerror` says which.

    An `OSError`, so that whoever reports what the system refuses reports this too.
    """

    strerror: str


def absolute(path: str | os.PathLike[str]) -> Path:
    """The absolute path without `..`; links are kept, so people see the names they know."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def open_regular(
    path: str | os.PathLike[str], *, limit: int | None = None, follow: bool = True
) -> BinaryIO:
    """Open a regular file to read, and nothing else: a pipe would wait, a device has no end.

    Args:
        path: The file.
        limit: Refuse it above so many bytes; None for any size.
        follow: Whether the path itself may be a link.
    """
    name = os.fspath(path)
    _refuse_unfit(Path(name).stat(follow_symlinks=follow), name, limit)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(name, flags)
    try:  # again: what lies there may have been exchanged meanwhile
        _refuse_unfit(os.fstat(descriptor), name, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file before a library opens it, see `open_regular`."""
    open_regular(path).close()


def read_regular(
    path: str | os.PathLike[str], *, limit: int = READ_LIMIT, follow: bool = True
) -> bytes:
    """All bytes of a regular file, see `open_regular`; a file that grows meanwhile is refused."""
    content = bytearray()
    with open_regular(path, limit=limit, follow=follow) as file:
        while part := file.read(_PART):  # to read `limit` bytes would take room for as many
            content += part
            if len(content) > limit:  # some files of the system say that they have no bytes
                raise _unfit(errno.EFBIG, _too_large(len(content), limit), os.fspath(path))
    return bytes(content)


def read_regular_text(
    path: str | os.PathLike[str],
    *,
    limit: int = READ_LIMIT,
    encoding: str = "utf-8",
    follow: bool = True,
) -> str:
    """The text of a regular file, every line end as a line feed, see `read_regular`."""
    text = read_regular(path, limit=limit, follow=follow).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _refuse_unfit(status: os.stat_result, name: str, limit: int | None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise _unfit(errno.EISDIR, "a folder, not a file", name)
    if stat.S_ISLNK(status.st_mode):
        raise _unfit(errno.ELOOP, "a link, which is not followed here", name)
    if not stat.S_ISREG(status.st_mode):
        raise _unfit(errno.EINVAL, "not a regular file (a pipe, socket or device)", name)
    if limit is not None and status.st_size > limit:
        raise _unfit(errno.EFBIG, _too_large(status.st_size, limit), name)


def _too_large(size: int, limit: int) -> str:
    return f"file of {size / 2**20:,.0f} MiB is too large (at most {limit / 2**20:,.0f} MiB)"


def _unfit(code: int, reason: str, name: str) -> UnfitFileError:
    return UnfitFileError(code, reason, name)


@contextmanager
def replaced_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of a file that takes its place once fully on disk.

    Who may read the file is as it was; of a new one, the umask says.
    """
    # Not `tempfile`: its files are for their owner alone, and a gallery may be for others to read.
    temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            _keep_mode(path, file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _keep_mode(path: Path, successor: IO[bytes]) -> None:
    with suppress(OSError):  # there is none yet, or the file system knows no modes
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            os.chmod(successor.name, stat.S_IMODE(status.st_mode))  # noqa: PTH101 - of a file object


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that were killed, told by their age."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
