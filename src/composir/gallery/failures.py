"""The files that could not be read, and why, so that they are not tried again in vain.

One JSON object a line: `path`, `reason`, `size`, `mtime_ns`, `environment`. Lines are appended
while a run goes on and the file is rewritten at its end.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from composir.data.files import replaced_atomically
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
    """Failures of a gallery by path; a line cut short by a crash costs only one more attempt."""
    try:
        lines = (folder / FAILURES_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
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
        with (folder / FAILURES_NAME).open("ab") as file:
            file.write(b"\n" + _lines(failed))


def write_failures(folder: Path, failed: dict[str, FailedFile]) -> None:
    """Replace all failures.

    Raises:
        OSError: If they cannot be written.
    """
    with replaced_atomically(folder / FAILURES_NAME) as file:
        file.write(_lines(list(failed.values())))


def _lines(failed: list[FailedFile]) -> bytes:
    return b"".join(json.dumps(asdict(entry)).encode("ascii") + b"\n" for entry in failed)
