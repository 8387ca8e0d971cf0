"""What a gallery's folder tells about its table without Lance: its version, or that it is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from composir.data.untrusted_json import decode_json
from composir.errors import GalleryError
from composir.gallery.manifest import (
    BundleIdentity,
    GalleryManifest,
    other_table,
    read_manifest,
    tables,
)
from composir.gallery.other_models import OtherModels, read_other_models

CACHE_NAME, BESIDE_NAME = "cache", "beside"
CONTENTS_NAME = f"{CACHE_NAME}/contents"
_NOTE = "composir.bundle"
_REVERSED = 20  # digits: newer versions of the format name them by 2^64 - 1 - number
_LARGEST = 2**64 - 1

Signature: TypeAlias = tuple[str, int, int, int]


def newest_version(table: Path) -> Signature | None:
    """Which version of a table is the newest: name, bytes, time and inode of its file.

    Another table that is put in its place has another signature, though its number be the same.
    None where there is no version, which `had_table` explains.
    """
    versions = table / "_versions"
    while True:
        try:
            names = [name for name in os.listdir(versions) if _number(name) is not None]  # noqa: PTH208 - names suffice
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not names:
            return None
        newest = max(names, key=lambda name: _number(name) or 0)
        try:
            found = (versions / newest).stat()
        except FileNotFoundError:  # an index run has cleaned up: there is a newer one
            continue
        return newest, found.st_size, found.st_mtime_ns, found.st_ino


def _number(name: str) -> int | None:
    stem, dot, suffix = name.partition(".")
    if dot and suffix == "manifest" and stem.isdecimal():
        return _LARGEST - int(stem) if len(stem) == _REVERSED else int(stem)
    return None


def versions(table: Path) -> list[int]:
    """Numbers of all versions of a table, the newest first."""
    names = (path.name for path in (table / "_versions").glob("*.manifest"))
    return sorted((number for name in names if (number := _number(name)) is not None), reverse=True)


def had_table(folder: Path, table: Path) -> bool:
    """Whether a gallery without a version of its table had one: then it is lost, not empty yet.

    The manifest names roots once a run is complete; an earlier run leaves data files, and searches
    leave a matrix.
    """
    if table.exists() and not table.is_dir():
        return True
    if any((table / "data").glob("*.lance")) or rows_of_matrices(folder):
        return True
    try:
        return bool(read_manifest(folder).roots)
    except GalleryError:
        return False


def remove_other_tables(folder: Path, manifest: GalleryManifest) -> None:
    """Remove what a change of the model has left, whenever it was stopped."""
    kept = read_other_models(folder)
    for table in tables(folder):
        if table.name not in {manifest.table, *kept.tables}:
            # What another process holds open stays on some systems, until the next run.
            shutil.rmtree(table, ignore_errors=True)
    is_switched = manifest.table == other_table(manifest.bundle.fingerprint)
    if is_switched and kept.prepared is None:
        shutil.rmtree(folder / BESIDE_NAME, ignore_errors=True)


def forget_others(folder: Path, manifest: GalleryManifest) -> None:
    """Remove all tables but a gallery's own, also those that it keeps, and vectors beside."""
    OtherModels().write(folder)
    remove_other_tables(folder, manifest)
    shutil.rmtree(folder / BESIDE_NAME, ignore_errors=True)


def rows_of_matrices(folder: Path) -> int:
    """How many rows the newest matrix in the cache was made of; 0 without one."""
    newest = (0, 0)
    for path in (folder / CACHE_NAME).glob("vectors-*-*.npy"):
        version, rows = path.stem.split("-")[1:3]
        if version.isdecimal() and rows.isdecimal():
            newest = max(newest, (int(version), int(rows)))
    return newest[1]


def identity_note(identity: BundleIdentity | None) -> dict[str, str]:
    """Metadata of the table's schema that says whose vectors it holds, should the manifest go."""
    if identity is None:
        return {}
    return {_NOTE: json.dumps({"name": identity.name, "fingerprint": identity.fingerprint})}


def noted_identity(metadata: Mapping[bytes, bytes] | None, dimension: int) -> BundleIdentity | None:
    """The bundle that a schema's metadata names, or None."""
    try:
        note = decode_json((metadata or {})[_NOTE.encode()].decode("utf-8"))
        return BundleIdentity(str(note["name"]), str(note["fingerprint"]), dimension)
    except (KeyError, ValueError, TypeError):
        return None
