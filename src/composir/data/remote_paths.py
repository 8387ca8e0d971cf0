"""Where folders of pictures lie: addresses of object stores as paths, and disks that may be gone.

Every path of a gallery is absolute, so a text that begins with a scheme is an address for certain,
also where a `Path` on its way has made `s3:/bucket` of it.

When a disk is unmounted, its folder is missing or shows what lies beneath it: empty, as a rule. So
of every indexed folder the gallery remembers where the disk is mounted and the device number that
the system gave it. A folder is believed to be empty, and a file to be deleted, only while the disk
is still the same one. A device number that the system gives anew after a restart errs on the safe
side: nothing is dropped.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk as it was found.

    Attributes:
        folder: Where it is mounted, or a link that leads onto it; absolute.
        device: The system's number of it.
    """

    folder: str
    device: int

    def is_there(self) -> bool:
        """Whether the same disk is found in the same place."""
        if self.folder == "/":  # always mounted; some systems number it anew at every start
            return True
        return device_of(self.folder) == self.device


def device_of(folder: str | os.PathLike[str]) -> int | None:
    """The number of the device that a folder (links followed) lies on; None where there is none."""
    try:
        return os.stat(folder).st_dev  # noqa: PTH116 - strings or paths
    except OSError:
        return None


def volume_of(path: Path) -> Volume | None:
    """The disk that a file or folder lies on.

    Returns:
        The disk, or None where the path is not there.
    """
    device = device_of(path)
    if device is None:
        return None
    folder = Path(os.path.realpath(path))
    while folder != folder.parent and not os.path.ismount(folder):
        folder = folder.parent
    return Volume(str(folder), device)


def lies_below(path: str, folder: str) -> bool:
    """Whether an absolute path is a folder or lies somewhere below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
