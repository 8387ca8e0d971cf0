"""Locks of the operating system on files: they die with their process, in whatever way it ends."""

from __future__ import annotations

import os
import sys

_WINDOWS_OFFSET = 1 << 30  # beyond any text, so that others may read what is in the file


if sys.platform == "win32":
    import msvcrt

    def _locked(handle: int) -> bool:
        os.lseek(handle, _WINDOWS_OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _locked(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def try_lock(handle: int) -> bool:
    """Lock an open file, unless another open file has it locked; whether it is locked now."""
    return _locked(handle)
