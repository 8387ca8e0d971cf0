"""What a gallery holds of single images, looked up by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from composir.gallery import rows
from composir.gallery.ranking import candidates
from composir.gallery.store import Store

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
    """Images of a store by id.

    Args:
        store: At some version.
        image_ids: Hexadecimal; those that it lacks are missing in what comes back.
    """
    names = [*rows.CANDIDATE_COLUMNS, *store.metadata_columns]
    table = store.select("id", image_ids, names)
    nothing = np.zeros((len(table), 1), np.float32)  # of a ranking that was not made
    found = candidates(table, nothing[:, 0], nothing)
    return {
        one.id: IndexedImage(
            one.id,
            one.path,
            one.appearance.width,
            one.appearance.height,
            dict(one.metadata),
        )
        for one in found
    }


def stored_thumbnails(store: Store, image_ids: list[str]) -> dict[str, bytes]:
    """JPEGs of some images by id; those that the store lacks are missing."""
    found: dict[str, bytes] = {}
    for start in range(0, len(image_ids), _IDS_AT_ONCE):
        some = image_ids[start : start + _IDS_AT_ONCE]
        table = store.select("id", some, ["id", "thumbnail"])
        found |= zip(table["id"].to_pylist(), table["thumbnail"].to_pylist(), strict=True)
    return found
