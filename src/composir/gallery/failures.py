"""The files that could not be read, and why, so that they are not tried again in vain.

One JSON object a line: `path`, `reason`, `size`, `mtime_ns`, `environment`. Lines are appended
while a run goes on and the file is rewritten at its end.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from composir.data.files import read_regular
from composir.data.outputs import open_inside, write_inside
from composir.errors import GalleryError
from composir.types import Failure

FAILURES_NAME = "failures.jsonl"


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read.

    Attributes:
        path: Absolute; bytes of no encoding as surrogates.
        reason: Why.
        size: Bytes, or None for what could not even be looked at.
        mtime_ns: Likewise.
        environment: Signature of what reads pictures, then; None where it was not kept.
    """

    path: str
    reason: str
    size: int | None = None
    mtime_ns: int | None = None
    environment: str | None = None

    def as_failure(self) -> Failure:
        """The public form."""
        return Failure(Path(self.path), self.reason)


def read_failures(folder: Path) -> dict[str, FailedFile]:
    """Failures of a gallery by path; a line cut short by a crash costs only one more attempt.

    Raises:
        GalleryError: If the file cannot be read, or is none.
    """
    try:
        lines = read_regular(folder / FAILURES_NAME, follow=False).splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        place = folder / FAILURES_NAME
        raise GalleryError(f"{place} cannot be read: {error.strerror or error}") from error
    failed: dict[str, FailedFile] = {}
    for line in lines:
        try:
            entry = FailedFile(**json.loads(line))
        except (ValueError, TypeError):
            continue
        failed[entry.path] = entry
    return failed


def append_failures(folder: Path, failed: list[FailedFile]) -> None:
    """Note more failures while a run goes on.

    Raises:
        OSError: If they cannot be written.
    """
    if failed:
        handle = open_inside(folder, FAILURES_NAME, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(handle, "ab") as file:
            file.write(b"\n" + _lines(failed))


def write_failures(folder: Path, failed: dict[str, FailedFile]) -> None:
    """Replace all failures.

    Raises:
        OSError: If they cannot be written.
    """
    write_inside(folder, FAILURES_NAME, _lines(list(failed.values())))


def _lines(failed: list[FailedFile]) -> bytes:
    return b"".join(json.dumps(asdict(entry)).encode("ascii") + b"\n" for entry in failed)
