"""Stores of made-up rows with given vectors."""

from __future__ import annotations

from pathlib import Path

from composir.gallery import rows
from composir.gallery.duplicates import Signature
from composir.gallery.store import Store
from composir.types import FloatArray


def stored(folder: Path, vectors: FloatArray, root: str = "/photos") -> Store:
    """A store whose row n, `/photos/n.jpg`, is n % 100 + 1 pixels wide."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder, vectors.shape[1])
    store.create()
    pictures = [
        rows.Picture(f"{n:032x}", n % 100 + 1, 9, None, None, b"", Signature(n, bytes(48)))
        for n in range(len(vectors))
    ]
    places = [rows.Place(Path(f"{root}/{n}.jpg"), "", n, n) for n in range(len(vectors))]
    columns = rows.place_columns(places) | rows.picture_columns(pictures, vectors)
    store.append(rows.as_table(columns, store.schema))
    return Store(folder, vectors.shape[1])
