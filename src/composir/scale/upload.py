"""From a gallery to a store: what is new is written, what has not changed stays, the rest goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from composir.errors import StoreError
from composir.gallery import Gallery, rows
from composir.gallery.expressions import column_kinds
from composir.gallery.ranking import as_rows
from composir.gallery.store import Store
from composir.scale.served_store import Inventory, ServedStore, StoredRow, answering

_BATCH = 256
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What an export did.

    Attributes:
        written: Rows sent, new or changed.
        unchanged: Rows that the store had already.
        removed: Rows of images that the gallery no longer has.
    """

    written: int
    unchanged: int
    removed: int


def inventory_of(gallery: Gallery) -> Inventory:
    """What a store will hold of a gallery."""
    info = gallery.info()
    kinds = gallery.on_newest(lambda table: column_kinds(table.schema))
    return Inventory(info.bundle, info.fingerprint, info.dimension, kinds)


def gallery_rows(table: Store) -> Iterator[list[StoredRow]]:
    """All rows of a gallery's table, some hundreds at a time."""
    names = [*rows.CANDIDATE_COLUMNS, *table.metadata_columns]
    for batch in table.stream([*names, "vector"]):
        whole = pa.Table.from_batches([batch])
        vectors = table.unit_vectors(whole["vector"])
        found = as_rows(whole.select(names))
        made = [StoredRow.of(row, vector) for row, vector in zip(found, vectors, strict=True)]
        yield from (made[begin : begin + _BATCH] for begin in range(0, len(made), _BATCH))


def upload(gallery: Gallery, store: ServedStore, progress: Progress) -> UploadReport:
    """Bring a store up to date with a gallery.

    Rows that are there already are recognised by their digests, so a run that was stopped, or that
    the store left in the lurch, is simply repeated.

    Args:
        gallery: Whose vectors.
        store: Empty, or filled from a gallery of the same model before.
        progress: Told how many of how many rows are dealt with.

    Raises:
        StoreError: If the store holds something else, or does not answer.
    """
    ours = inventory_of(gallery)
    with answering(store):
        theirs = store.inventory()
        if theirs is not None and theirs.fingerprint != ours.fingerprint:
            raise StoreError(
                f"the store {store.shown} holds vectors of {theirs.bundle} of width "
                f"{theirs.dimension}, and the gallery those of {ours.bundle} of width "
                f"{ours.dimension}: choose another name"
            )
        store.prepare(ours)
    try:
        return gallery.on_newest(lambda table: _write(table, store, progress))
    except StoreError as error:
        raise StoreError(f"{error}. What was written stays; the same command goes on") from error


def _write(table: Store, store: ServedStore, progress: Progress) -> UploadReport:
    total, done, written = len(table), 0, 0
    with answering(store):
        known = dict(store.digests())
        for some in gallery_rows(table):
            changed = [row for row in some if known.pop(row.id, None) != row.digest]
            if changed:
                store.upsert(changed)
            done, written = done + len(some), written + len(changed)
            progress(done, total)
        gone = list(known)
        for begin in range(0, len(gone), _BATCH):
            store.delete(gone[begin : begin + _BATCH])
        store.finish()
    return UploadReport(written, done - written, len(gone))
