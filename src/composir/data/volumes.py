"""Disks that folders lie on, remembered so that an unmounted disk is told from deleted pictures.

When a disk is unmounted, its folder is missing or shows what lies beneath it: empty, as a rule. So
of every indexed folder the gallery remembers where the disk is mounted and the device number that
the system gave it. A folder is believed to be empty, and a file to be deleted, only while the disk
is still the same one. A device number that the system gives anew after a restart errs on the safe
side: nothing is dropped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


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
