"""What a gallery holds, told without loading its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from composir.data.remote_paths import as_path
from composir.gallery.failures import read_failures
from composir.gallery.manifest import read_manifest
from composir.gallery.store import Store


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """What a gallery holds.

    Attributes:
        path: Its folder.
        images: How many.
        dimension: Width D of the vectors.
        bundle: Name of the bundle that made them.
        bundle_folder: Where that bundle lies; None of a packaged one, or where it is not noted.
        fingerprint: Of that bundle.
        bytes: On disk, in all.
        roots: Folders indexed so far.
        created: UTC, ISO 8601.
        updated: End of the last index run; UTC, ISO 8601.
        failures: Files that could not be indexed.
        columns: Metadata columns from sidecars.
        column_types: What all columns that filters know hold, by name: `text`, `numbers`,
            `dates`, `true or false`.
        excludes: Patterns that are remembered with each root.
    """

    path: Path
    images: int
    dimension: int
    bundle: str
    bundle_folder: Path | None
    fingerprint: str
    bytes: int
    roots: tuple[Path, ...]
    created: str
    updated: str
    failures: int
    columns: tuple[str, ...]
    column_types: Mapping[str, str]
    excludes: Mapping[Path, tuple[str, ...]]


def describe(folder: Path, store: Store) -> GalleryInfo:
    """Describe a gallery as it is now."""
    from composir.gallery.columns import PLURALS, column_kinds

    current = read_manifest(folder)
    return GalleryInfo(
        path=folder,
        images=len(store),
        dimension=current.bundle.dimension,
        bundle=current.bundle.name,
        bundle_folder=None if current.bundle.folder is None else Path(current.bundle.folder),
        fingerprint=current.bundle.fingerprint,
        bytes=_bytes_below(folder),
        roots=tuple(as_path(root) for root in current.roots),
        created=current.created,
        updated=current.updated,
        failures=len(read_failures(folder)),
        columns=tuple(store.metadata_columns),
        column_types={name: PLURALS[kind] for name, kind in column_kinds(store.schema).items()},
        excludes={as_path(root): current.facts(root).exclude for root in current.roots},
    )


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:  # an index run tidies up meanwhile
            continue
    return total
