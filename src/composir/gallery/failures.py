"""The files that could not be read, and why, so that they are not tried again in vain.

One JSON object a line: `path`, `reason`, `size`, `mtime_ns`, `environment`. Lines are appended
while a run goes on and the file is rewritten at its end. `environment` is a signature of what
decides, beside the file itself, whether it can be read: it is tried again when a decoder is
installed or replaced, or when a limit moves with a new version of composir.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

from composir.data.fields import Text, Whole
from composir.data.files import open_regular
from composir.data.outputs import open_inside, write_inside
from composir.data.remote_paths import as_path
from composir.data.schema import as_row
from composir.data.untrusted_json import LINES_LIMIT, decode_json
from composir.errors import DatasetError, GalleryError
from composir.types import Failure

FAILURES_NAME = "failures.jsonl"
_MOST_LINE = 1 << 20
DECODER_PACKAGES = (
    "pillow",
    "pillow-heif",
    "pillow-jxl-plugin",
    "pillow-avif-plugin",
    "rawpy",
    "pyvips",
    "imagecodecs",
)
"""Distributions that read pictures, or teach Pillow to; those that are not installed count too."""

_CODECS = ("jpg", "jpg_2000", "libtiff", "zlib", "webp", "avif")
_MISSING_PACKAGE = "not installed"


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read."""

    path: Text  # absolute; bytes of no encoding as surrogates
    reason: Text
    size: Whole | None = None  # bytes, or None for what could not even be looked at
    mtime_ns: Whole | None = None
    # Signature of what reads pictures, then; None where it was not kept.
    environment: Text | None = None

    def as_failure(self) -> Failure:
        """The public form."""
        return Failure(as_path(self.path), self.reason)


def read_failures(folder: Path) -> dict[str, FailedFile]:
    """Failures of a gallery by path; a line cut short by a crash costs only one more attempt."""
    failed: dict[str, FailedFile] = {}
    try:
        with open_regular(folder / FAILURES_NAME, limit=LINES_LIMIT, follow=False) as file:
            while line := file.readline(_MOST_LINE):
                if entry := _entry(line):
                    failed[entry.path] = entry
    except FileNotFoundError:
        return {}
    except OSError as error:
        place = folder / FAILURES_NAME
        raise GalleryError(f"{place} cannot be read: {error.strerror or error}") from error
    return failed


def _entry(line: bytes) -> FailedFile | None:
    """What a line says; None where it is cut short or says something else."""
    try:
        return as_row(FAILURES_NAME, decode_json(line.decode("utf-8")), FailedFile, DatasetError)
    except (ValueError, DatasetError):
        return None


def append_failures(folder: Path, failed: list[FailedFile]) -> None:
    """Note more failures while a run goes on."""
    if failed:
        handle = open_inside(folder, FAILURES_NAME, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(handle, "ab") as file:
            file.write(b"\n" + _lines(failed))


def write_failures(folder: Path, failed: dict[str, FailedFile]) -> None:
    """Replace all failures."""
    write_inside(folder, FAILURES_NAME, _lines(list(failed.values())))


def _lines(failed: list[FailedFile]) -> bytes:
    return b"".join(json.dumps(asdict(entry)).encode("ascii") + b"\n" for entry in failed)


def decoder_signature() -> str:
    """A short text that changes when what reads pictures changes."""
    from composir.images import bounds
    from composir.references import LARGEST_FILE

    facts = [f"{name} {_version(name)}" for name in ("composir", *DECODER_PACKAGES)]
    facts += [f"{name} {_codec(name)}" for name in _CODECS]
    facts += [f"pixels {bounds.MAX_PIXELS}", f"bytes {LARGEST_FILE}"]
    facts += [f"memory {bounds.MEMORY}", f"seconds {bounds.SECONDS}"]
    return blake2b("\n".join(facts).encode(), digest_size=8).hexdigest()


def may_be_readable_now(reason: str, recorded: str | None, current: str) -> bool:
    """Whether a file that failed is worth another try in this environment.

    `recorded` is None where an earlier version of composir kept no signature.
    """
    return _MISSING_PACKAGE in reason if recorded is None else recorded != current


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _codec(name: str) -> str:
    from PIL import features

    if name not in features.modules and name not in features.codecs:
        return "unknown"  # to this version of Pillow
    return str(features.version(name)) if features.check(name) else "missing"
