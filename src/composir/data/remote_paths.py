"""Pictures in object stores among those on disks: an address, `s3://bucket/a.jpg`, as a path.

Every path of a gallery is absolute, so a text that begins with a scheme is an address for certain,
also where a `Path` on its way has made `s3:/bucket` of it.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path, PosixPath
from urllib.parse import quote

from composir.data.files import absolute

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # of two letters at least: one is a Windows drive


class RemotePath(PosixPath):
    """An address that behaves as an absolute path; no file of this machine is ever there."""

    def __str__(self) -> str:
        """The address, with its two slashes."""
        return _SCHEME.sub(r"\1://", super().__str__(), count=1)

    def __fspath__(self) -> str:
        """The same, by which it is known in a gallery."""
        return str(self)

    def is_absolute(self) -> bool:
        """Always."""
        return True

    def resolve(self, strict: bool = False) -> RemotePath:  # noqa: ARG002
        """Itself: nothing is asked."""
        return self

    def as_uri(self) -> str:
        """The address for a link."""
        return quote(str(self), safe="/:@+~")

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        """Raise FileNotFoundError: whoever asks the system looks for a file of this machine."""
        raise FileNotFoundError(errno.ENOENT, "it lies in an object store", str(self))


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path of a gallery, or a root as it was given, is an address."""
    return _SCHEME.match(os.fspath(path)) is not None


def as_path(text: str) -> Path:
    """The path that a text of a gallery stands for: a file's of this machine, or an address."""
    return RemotePath(text) if is_remote(text) else Path(text)


def root_path(path: str | os.PathLike[str]) -> Path:
    """What somebody wants indexed or forgotten: an absolute path, or an address."""
    return RemotePath(path) if is_remote(path) else absolute(path)
