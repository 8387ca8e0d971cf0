"""A child process that dies when it opens a socket, in a home of its own that can be looked over.

Python's own audit hooks do not see native libraries, so the kernel watches (seccomp, Linux): any
socket that is not local to the machine's processes (`AF_UNIX`) kills the child with SIGSYS.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
_AF_UNIX = 1
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_NUMBER, _FIRST_ARGUMENT = 0, 16  # offsets in struct seccomp_data
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def can_seal() -> bool:
    """Whether this system has the means; told by trying it on a child."""
    if _LIBC is None or platform.machine() not in _SOCKET_CALL:
        return False
    try:
        command = [sys.executable, "-c", ""]
        return subprocess.run(command, preexec_fn=_seal, check=False).returncode == 0
    except subprocess.SubprocessError:
        return False


def run_sealed(
    code: str, home: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python code without sockets; `home` is its home, working and temporary folder.

    Variables that hush a library (`CI`, `DO_NOT_TRACK`, ...) are not handed on.
    """
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    kept |= {"HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=kept | dict(environment or {}),
        preexec_fn=_seal,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def files_below(folder: Path) -> set[str]:
    """Relative paths of all files and links."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}


def _seal() -> None:
    """Runs in the child between fork and exec."""
    assert _LIBC is not None
    steps = [
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 3, _SOCKET_CALL[platform.machine()]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    if _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or _LIBC.prctl(
        _SET_SECCOMP, _MODE_FILTER, ctypes.byref(program)
    ):
        raise OSError(ctypes.get_errno(), "seccomp refuses")
