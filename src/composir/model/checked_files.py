"""Folders whose files are listed, with size and SHA-256, in a manifest beside them.

Bundles and composers are such folders. Sizes are checked at loading, a file's checksum when that
file is opened first, so that what a query does not need is not read. Composers of one bundle may
share a file: one has it, and the others' manifests say which one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, Field

from composir.data.fields import ManifestPart
from composir.data.outputs import write_inside
from composir.data.schema import fitting
from composir.data.untrusted_json import MANIFEST_LIMIT, read_json
from composir.errors import BundleError
from composir.names import NAME_PATTERN


class FileEntry(ManifestPart):
    """Size in bytes and SHA-256 of one file."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    def place(self, folder: Path, name: str) -> Path:
        """Where the file lies, if a manifest in `folder` lists it under `name`."""
        return folder / name

    def missing(self, folder: Path, name: str) -> str:
        """What to say where it does not lie there."""
        return f"{folder} is incomplete: {name} is missing"


class SharedEntry(FileEntry):
    """An entry that may leave the file to a sibling folder, which holds the very same one.

    Attributes:
        in_composer: Name of that folder; it lies beside this one and has the file under the same
            name. None, and not written into the manifest, where the folder holds its own.
    """

    later: ClassVar[frozenset[str]] = frozenset({"in_composer"})
    in_composer: str | None = Field(default=None, pattern=NAME_PATTERN)

    def place(self, folder: Path, name: str) -> Path:
        """In this folder, or in the sibling; links to the folder are followed first."""
        if self.in_composer is None:
            return super().place(folder, name)
        return folder.resolve().parent / self.in_composer / name

    def missing(self, folder: Path, name: str) -> str:
        """Where the sibling is missing, the folder was taken out of its bundle."""
        if self.in_composer is None:
            return super().missing(folder, name)
        return (
            f"{folder} shares {name} with the composer {self.in_composer}, but there is no "
            f"{self.place(folder, name)}: use the composer where it lies in its bundle, or copy "
            f"the folder {self.in_composer} along, beside it"
        )


class Listing(Protocol):
    """A manifest that lists files."""

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """All files beside it, by name."""


_Listing_co = TypeVar("_Listing_co", bound=Listing, covariant=True)


class CheckedFolder(Generic[_Listing_co]):
    """A folder with a manifest, whose files are opened only if they are what that says.

    Attributes:
        folder: Where it is.
        manifest: What it says.
    """

    manifest_name: ClassVar[str]

    def __init__(self, folder: Path, manifest: _Listing_co) -> None:
        """Check that all files are there, of the right size; `load` reads the manifest first."""
        self.folder, self.manifest = folder, manifest
        self._verified: set[str] = set()
        for name, entry in manifest.files.items():
            _check_size(folder, name, entry, self.manifest_name)

    def file(self, name: str) -> Path:
        """Path of a file, its checksum verified once.

        Raises:
            BundleError: If the file is not listed or its content is not what the manifest says.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.folder} holds no file named {name}")
        path = entry.place(self.folder, name)
        if name not in self._verified:
            if sha256_of(path) != entry.sha256:
                raise BundleError(
                    f"{path} is damaged (its checksum is not the manifest's): "
                    "install or export it again"
                )
            self._verified.add(name)
        return path


def list_files(folder: Path, manifest: str) -> dict[str, FileEntry]:
    """Size and checksum of every file in a folder but the manifest itself."""
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            bytes=path.stat().st_size, sha256=sha256_of(path)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / manifest and "__pycache__" not in path.parts
    }


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal.

    In one call over the mapped file: read in pieces, a thread that hashes would wait for Python's
    global lock at each of them while the main thread imports, and take ten times as long.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # there is nothing to map
            return hashlib.sha256().hexdigest()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()


_Manifest = TypeVar("_Manifest", bound=BaseModel)


def read_manifest(path: Path, kind: type[_Manifest], schema: int, what: str) -> _Manifest:
    """Read and check a manifest."""
    if not path.is_file():
        raise BundleError(f"{path.parent} is no {what}: it holds no {path.name}")
    raw = read_json(path, BundleError, limit=MANIFEST_LIMIT)
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > schema:
        raise BundleError(
            f"{path} has schema version {version}, this composir knows up to {schema}: "
            "upgrade with pip install --upgrade composir"
        )
    return fitting(path, raw, kind, BundleError, "a valid manifest")


def write_manifest(path: Path, manifest: BaseModel) -> None:
    """Write a manifest as indented JSON."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_inside(path.parent, path.name, text + "\n")


def _check_size(folder: Path, name: str, entry: FileEntry, manifest: str) -> None:
    path = entry.place(folder, name)
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BundleError(f"{folder / manifest} names a file outside the folder: {name}")
    if not path.is_file():
        raise BundleError(entry.missing(folder, name))
    if path.stat().st_size != entry.bytes:
        raise BundleError(
            f"{path} is damaged: {path.stat().st_size} bytes, the manifest says {entry.bytes}: "
            "install or export it again"
        )
