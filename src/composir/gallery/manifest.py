"""The gallery's manifest: what the folder is, whose vectors it holds, which roots it covers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from composir.data.files import TEMPORARY_PREFIX, replaced_atomically
from composir.errors import GalleryError

MANIFEST_NAME = "composir-gallery.json"
SCHEMA_VERSION = 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class BundleIdentity:
    """Which bundle's vectors a gallery holds.

    Attributes:
        name: For people, e.g. `mini`.
        fingerprint: Of the vector space.
        dimension: Width D of the vectors.
    """

    name: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `composir-gallery.json` says.

    Attributes:
        bundle: The bundle that encoded every vector.
        roots: Folders indexed so far, absolute.
        created: UTC, ISO 8601.
        updated: End of the last index run; UTC, ISO 8601.
        schema_version: Of the folder's format.
    """

    bundle: BundleIdentity
    roots: tuple[str, ...] = ()
    created: str = field(default_factory=_now)
    updated: str = field(default_factory=_now)
    schema_version: int = SCHEMA_VERSION

    def with_roots(self, roots: list[str]) -> Manifest:
        """The same manifest, updated now, covering these roots too."""
        merged = dict.fromkeys((*self.roots, *roots))
        return replace(self, roots=tuple(merged), updated=_now())

    def write(self, folder: Path) -> None:
        """Write the manifest into a gallery folder, atomically.

        Raises:
            OSError: If it cannot be written.
        """
        text = json.dumps({"kind": "composir-gallery", **asdict(self)}, indent=2)
        with replaced_atomically(folder / MANIFEST_NAME) as file:
            file.write(text.encode("ascii"))


def is_gallery(folder: Path) -> bool:
    """Whether a folder carries a manifest, readable or not."""
    return (folder / MANIFEST_NAME).exists()


def is_free(folder: Path) -> bool:
    """Whether a folder holds nothing that a new gallery could harm."""
    return all(entry.name.startswith(TEMPORARY_PREFIX) for entry in folder.iterdir())


def read_manifest(folder: Path) -> Manifest:
    """Read and check a gallery's manifest.

    Args:
        folder: The gallery's folder.

    Raises:
        GalleryError: If there is no gallery, the manifest is damaged, or of a newer schema.
    """
    if not folder.exists():
        raise GalleryError(f"no gallery at {folder}; make one: composir index FOLDER")
    if not folder.is_dir():
        raise GalleryError(f"{folder} is a file; a gallery is a folder: choose another --gallery")
    path = folder / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise GalleryError(
            f"{folder} is not a gallery (it has no {MANIFEST_NAME}); "
            f"make one in a new folder: composir index FOLDER --gallery NEW"
        ) from None
    except OSError as error:
        raise GalleryError(f"{path} cannot be read: {error.strerror or error}") from error
    return _parse(raw, path)


def _parse(raw: bytes, path: Path) -> Manifest:
    damaged = (
        f"{path} is damaged; restore it from a backup, or delete the folder {path.parent} "
        "and run `composir index` again"
    )
    try:
        content = json.loads(raw)
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise GalleryError(damaged) from error
    if not isinstance(version, int) or content.get("kind") != "composir-gallery":
        raise GalleryError(damaged)
    if version > SCHEMA_VERSION:
        raise GalleryError(
            f"the gallery {path.parent} was written by a newer composir (format {version}, this "
            f"version knows {SCHEMA_VERSION}); upgrade: pip install --upgrade composir"
        )
    try:
        return _build(content)
    except (KeyError, TypeError, ValueError) as error:
        raise GalleryError(damaged) from error


def _build(content: dict[str, Any]) -> Manifest:
    bundle = content["bundle"]
    return Manifest(
        bundle=BundleIdentity(
            str(bundle["name"]), str(bundle["fingerprint"]), int(bundle["dimension"])
        ),
        roots=tuple(str(root) for root in content["roots"]),
        created=str(content["created"]),
        updated=str(content["updated"]),
        schema_version=int(content["schema_version"]),
    )
