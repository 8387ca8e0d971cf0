"""Damaged galleries: how they show, and the one message that tells of them with the way out."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from composir.errors import GalleryDamagedError

_RUST_SOURCE = re.compile(r",?\s+\S*\.rs:\d+(:\d+)?")
_WRAPPERS = re.compile(
    r"^((LanceError\(\w+\)|External error|Invalid user input|Generic \S+ error): )+"
)
_MISSING = re.compile(r"Not found: .*?(images\.lance/.*)")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PANIC = "PanicException"


class VersionGoneError(OSError):
    """An index run has removed the files of the version at hand; a newer one has them."""


def damaged(folder: Path, fault: str) -> GalleryDamagedError:
    """The error that every verb shows for a damaged gallery."""
    return GalleryDamagedError(
        f"the gallery {folder} is damaged: {fault}. Your pictures are not affected; "
        "keep everything of the gallery that can still be read: "
        f"composir repair {shlex.quote(str(folder))}",
        fault,
    )


def is_from_lance(error: BaseException) -> bool:
    """Whether an error comes out of Lance's depths: they name a source file, or panic."""
    text = str(error)
    return (
        type(error).__name__ == _PANIC  # by name: it is not to be had otherwise
        or _RUST_SOURCE.search(text) is not None
        or text.startswith(("LanceError", "External error"))
    )


def is_gone(error: BaseException, dataset: str) -> bool:
    """Whether Lance misses a file of a dataset of this name."""
    return "Not found: " in str(error) and dataset in str(error)


def system_error_number(error: BaseException) -> int | None:
    """The operating system's number in an error of Lance, where there is one."""
    found = _OS_ERROR.search(str(error))
    return int(found.group(1)) if found and os.name != "nt" else None  # Windows counts otherwise


def cause_of(error: BaseException) -> str:
    """The part of an error of Lance that concerns people."""
    text = _RUST_SOURCE.split(str(error), maxsplit=1)[0]
    missing = _MISSING.search(text)
    if missing:
        return f"{missing.group(1)} is missing"
    if type(error).__name__ == _PANIC:
        return "its contents make no sense to the reader"
    return _WRAPPERS.sub("", text).strip().rstrip(".") or type(error).__name__
