"""What a gallery holds of single images, looked up by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.gallery import rows
from composir.gallery.ranking import candidates
from composir.gallery.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_IDS_AT_ONCE = 512


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
