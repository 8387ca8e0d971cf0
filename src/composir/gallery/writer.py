"""The pipeline's last stage: results become rows, a few hundred a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from composir.gallery import rows
from composir.gallery.failures import FailedFile, append_failures
from composir.gallery.key_lists import KeyList
from composir.gallery.known import CopySource, KnownFiles, MovedFiles, content_key
from composir.gallery.pipeline import EncodedBatch, Written
from composir.gallery.progress import ProgressMeter
from composir.gallery.reader import KnownPicture, NewPicture, Unreadable
from composir.gallery.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_COMMIT = 512
SECONDS_A_COMMIT = 10.0


class RowWriter:
    """Collects results and commits them; counts what it did.

    A commit takes place every 512 images or 10 seconds, whichever comes first: that is what a
    `kill -9` can lose.

    Attributes:
        added: Rows made from newly encoded pictures.
        reused: Rows that took over the vector of known content.
        reused_contents: Keys of that content, one for each row that took it over. Two contents of
            one key, should there ever be such, would change how many are told as dropped.
        refreshed: Rows whose file was touched but not changed.
        failed: Files that gave no picture.
        unresolved: Files whose content was known when they were read and gone when they were to
            be written; they have to be read again.
    """

    def __init__(
        self,
        store: Store,
        known: KnownFiles,
        meter: ProgressMeter,
        clock: Callable[[], float] = time.monotonic,
        environment: str | None = None,
    ) -> None:
        """Write into a store, and the failures of this `environment` beside it."""
        self._store, self._known = store, known
        self._environment = environment
        self._meter, self._clock = meter, clock
        self._last_commit = clock()
        self._new: list[NewPicture] = []
        self._vectors: list[np.ndarray] = []
        self._copies: list[KnownPicture] = []
        self._unreadable: list[FailedFile] = []
        self._moved = MovedFiles(known.is_gone)
        self.added = self.reused = self.refreshed = 0
        self.reused_contents = KeyList()
        self.failed: dict[str, FailedFile] = {}
        self.unresolved: list[rows.Place] = []

    def add(self, item: Written) -> None:
        """Take one result."""
        if isinstance(item, EncodedBatch):
            self._new += item.files
            self._vectors.append(item.vectors)
            self._count(item.files[-1].place, len(item.files))
        elif isinstance(item, KnownPicture):
            self._copies.append(item)
            self._count(item.place, 1)
        else:
            self._note(item)
            self._count(item.place, 1)

    def commit_if_due(self) -> None:
        """Commit if there is enough, or if the last commit was long ago."""
        held = len(self._new) + len(self._copies)
        if held >= ROWS_A_COMMIT or self._clock() - self._last_commit >= SECONDS_A_COMMIT:
            self.commit()

    def commit(self) -> None:
        """Commit everything that is held."""
        parts = [self._new_rows(), self._copied_rows()]
        tables = [table for table in parts if table is not None]
        if tables:
            self._store_rows(tables)
        append_failures(self._store.folder, self._unreadable)
        self._new, self._vectors, self._copies, self._unreadable = [], [], [], []
        self._last_commit = self._clock()

    def _count(self, place: rows.Place, files: int) -> None:
        self._meter.done += files
        self._meter.current = place.path

    def _note(self, item: Unreadable) -> None:
        place = item.place
        entry = FailedFile(str(place.path), item.reason)  # of the disk: tried again next time
        if item.is_picture_gone:
            entry = replace(
                entry,
                size=place.size,
                mtime_ns=place.mtime_ns,
                environment=self._environment,
            )
        self.failed[entry.path] = entry
        self._unreadable.append(entry)
        self._meter.failures += 1
        if item.is_picture_gone:
            self._known.mark(rows.image_id(place.path), seen=False)

    def _new_rows(self) -> pa.Table | None:
        if not self._new:
            return None
        columns = rows.place_columns([file.place for file in self._new])
        columns |= rows.picture_columns(
            [file.picture for file in self._new], np.concatenate(self._vectors)
        )
        columns |= kept_metadata(self._store, self._known, columns["id"].to_pylist())
        self.added += len(self._new)
        return rows.as_table(columns, self._store.schema)

    def _copied_rows(self) -> pa.Table | None:
        """Rows of known content at its new places."""
        import pyarrow as pa

        if not self._copies:
            return None
        held, pending = self._held_sources(), self._pending_sources()
        chosen = self._moved.assign([(c.place, c.content_hash) for c in self._copies], held)
        positions = sorted({source.position for source in chosen if source is not None})
        stored = self._store.take(positions, self._store.schema.names)
        row_of = {position: index for index, position in enumerate(positions)}
        contents = pending["content_hash"].to_pylist()
        fresh = {content: row for row, content in enumerate(contents, start=len(stored))}
        found, order = [], []
        for copy, source in zip(self._copies, chosen, strict=True):
            row = row_of[source.position] if source is not None else fresh.get(copy.content_hash)
            if row is None:
                self.unresolved.append(copy.place)
            else:
                found.append(copy)
                order.append(row)
        self._count_copies({(source.id, source.content_hash) for source in held}, found)
        if not found:
            return None
        taken = pa.concat_tables([stored, pending]).take(pa.array(order, pa.int64()))
        columns = {name: taken[name].combine_chunks() for name in taken.column_names}
        columns |= rows.place_columns([copy.place for copy in found])
        columns |= self._own_metadata(columns)
        return rows.as_table(columns, self._store.schema)

    def _own_metadata(self, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Metadata of copies: the source's for a new path, its own for one that has a row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ids = columns["id"].to_pylist()
        has_row = pa.array([self._known.has(image_id) for image_id in ids])
        return {
            name: pc.if_else(has_row, kept, columns[name])
            for name, kept in kept_metadata(self._store, self._known, ids).items()
        }

    def _held_sources(self) -> list[CopySource]:
        """All rows of the store with a content to copy."""
        wanted = {copy.content_hash for copy in self._copies}
        names = ["id", "content_hash", "path", "path_bytes", "folder", "_rowoffset"]
        return [
            CopySource(
                row["id"],
                row["content_hash"],
                rows.decode_path(row["path"], row["path_bytes"]),
                row["folder"],
                row["_rowoffset"],
            )
            for row in self._store.select("content_hash", wanted, names).to_pylist()
        ]

    def _pending_sources(self) -> pa.Table:
        """Rows that are about to be stored with a content to copy, one for each content."""
        wanted = {copy.content_hash for copy in self._copies}
        pending = [
            (file, vector)
            for file, vector in zip(self._new, chain.from_iterable(self._vectors), strict=True)
            if file.picture.content_hash in wanted
        ]
        if not pending:
            return self._store.schema.empty_table()
        columns = rows.place_columns([file.place for file, _ in pending])
        columns |= rows.picture_columns(
            [file.picture for file, _ in pending], np.stack([vector for _, vector in pending])
        )
        return rows.as_table(columns, self._store.schema)

    def _count_copies(self, held: set[tuple[str, str]], found: Sequence[KnownPicture]) -> None:
        """Tell touched files (same path, same content) from known content at a new path."""
        for copy in found:
            if (rows.image_id(copy.place.path), copy.content_hash) in held:
                self.refreshed += 1
            else:
                self.reused += 1
                self.reused_contents.append(content_key(copy.content_hash))

    def _store_rows(self, tables: list[pa.Table]) -> None:
        import pyarrow as pa

        table = pa.concat_tables(tables)
        ids = table["id"].to_pylist()
        if any(self._known.has(image_id) for image_id in ids):
            self._store.merge(table)
        else:
            self._store.append(table)
        for image_id in ids:
            self._known.mark(image_id, seen=True)


def kept_metadata(store: Store, known: KnownFiles, ids: Sequence[str]) -> dict[str, pa.Array]:
    """Metadata of the rows that changed files replace, in the order of their ids."""
    import pyarrow as pa

    names = store.metadata_columns
    replaced = [image_id for image_id in ids if known.has(image_id)]
    if not names or not replaced:
        return {}
    old = store.select("id", replaced, ["id", *names])
    position = {image_id: index for index, image_id in enumerate(old["id"].to_pylist())}
    order = pa.array([position.get(image_id) for image_id in ids], pa.int64())
    return {name: old[name].combine_chunks().take(order) for name in names}
