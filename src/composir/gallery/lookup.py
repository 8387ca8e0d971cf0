"""What a gallery holds, told without its model: single images, values, and all in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.data.remote_paths import as_path
from composir.gallery import rows
from composir.gallery.failures import read_failures
from composir.gallery.manifest import read_manifest
from composir.gallery.ranking import candidates
from composir.gallery.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_IDS_AT_ONCE = 512
_MOST_VALUES = 400  # different ones; a column with more is no list to choose from
_NO_CHOICE = frozenset({"id", "path", "content_hash"})


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """One image of a gallery.

    Attributes:
        id: The gallery's id.
        path: Where the file was when it was indexed.
        width: Pixels.
        height: Pixels.
        metadata: All other columns of its row.
    """

    id: str
    path: Path
    width: int
    height: int
    metadata: dict[str, Any]


def indexed_images(store: Store, image_ids: Sequence[str]) -> dict[str, IndexedImage]:
    """Images of a store by id."""
    names = [*rows.CANDIDATE_COLUMNS, *store.metadata_columns]
    return {one.id: one for one in _images(store.select("id", image_ids, names))}


def sampled_images(store: Store, count: int, seed: int) -> list[IndexedImage]:
    """Some images of a store, none twice, in no order."""
    size = len(store)
    chosen = np.random.default_rng(seed).choice(size, min(count, size), replace=False)
    names = [*rows.CANDIDATE_COLUMNS, *store.metadata_columns]
    return _images(store.take(chosen.tolist(), names))


def _images(table: pa.Table) -> list[IndexedImage]:
    nothing = np.zeros((len(table), 1), np.float32)  # of a ranking that was not made
    return [
        IndexedImage(
            one.id,
            one.path,
            one.appearance.width,
            one.appearance.height,
            dict(one.metadata),
        )
        for one in candidates(table, nothing[:, 0], nothing)
    ]


def stored_thumbnails(store: Store, image_ids: list[str]) -> dict[str, bytes]:
    """JPEGs of some images by id; those that the store lacks are missing."""
    found: dict[str, bytes] = {}
    for start in range(0, len(image_ids), _IDS_AT_ONCE):
        some = image_ids[start : start + _IDS_AT_ONCE]
        table = store.select("id", some, ["id", "thumbnail"])
        found |= zip(table["id"].to_pylist(), table["thumbnail"].to_pylist(), strict=True)
    return found


def count_values(store: Store) -> dict[str, Counter[str]]:
    """Count the values of columns of text, and of truth, that have few."""
    from composir.gallery.expressions import Kind, column_kinds

    kinds = column_kinds(store.schema)
    names = [
        name
        for name, kind in kinds.items()
        if kind in {Kind.TEXT, Kind.TRUTH} and name not in _NO_CHOICE
    ]
    counted: dict[str, Counter[str]] = {name: Counter() for name in names}
    for batch in store.stream(names) if names else ():
        for name in list(counted):
            counted[name].update(_counts(batch[name]))
            if len(counted[name]) > _MOST_VALUES:
                del counted[name]
    return counted


def _counts(column: object) -> dict[str, int]:
    import pyarrow.compute as pc

    pairs = pc.value_counts(column).to_pylist()
    return {_text(pair["values"]): pair["counts"] for pair in pairs if pair["values"] is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
    from composir.gallery.expressions import PLURALS, column_kinds

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
