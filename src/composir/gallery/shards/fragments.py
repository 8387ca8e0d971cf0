"""What a merge adds to a table, prepared beside it, as fragments that no version names yet.

A shard of which the gallery has nothing is taken as it is: its files are linked into the table's
folder, and no row is read or written. Otherwise the rows that are new or changed are written, with
the metadata of those that they replace. What was prepared and never committed does no harm: the
next run over the gallery removes it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.gallery import rows
from composir.gallery.known import KnownFiles
from composir.gallery.progress import ProgressMeter
from composir.gallery.store import Store, one_of
from composir.gallery.writer import kept_metadata

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class Additions:
    """What is to be added."""

    fragments: list[Any] = field(default_factory=list)  # `lance.FragmentMetadata`
    replaced: list[str] = field(default_factory=list)  # ids of rows that make room for newer ones
    added: int = 0  # rows of pictures that the gallery does not have
    unchanged: int = 0  # rows that it has already

    def operation(self, store: Store) -> Any:
        """All of it as one `lance.LanceOperation`; None where there is nothing to do."""
        from lance import LanceOperation

        # 0 is for Lance to number them; a number that they bring from their shards is kept.
        fresh = [replace(fragment, id=0) for fragment in self.fragments]
        if not self.replaced:
            return LanceOperation.Append(fresh) if fresh else None
        kept, emptied = [], []
        for fragment in store.dataset.get_fragments():
            left = fragment.delete(one_of("id", self.replaced))
            if left is None:
                emptied.append(fragment.fragment_id)
            elif left != fragment.metadata:
                kept.append(left)
        return LanceOperation.Update(
            removed_fragment_ids=emptied, updated_fragments=kept, new_fragments=fresh
        )


def prepare_additions(store: Store, shards: Sequence[Store], meter: ProgressMeter) -> Additions:
    """Compare shards with a gallery's table, and put beside it what it lacks.

    Shards have own columns alone, and no two have a row of the same id.
    """
    known, result = KnownFiles(store), Additions()
    for shard in shards:
        changed, unchanged = _compared(shard, known)
        added = len(shard) - len(changed) - unchanged
        if not changed and not unchanged and _fits(shard, store):
            result.fragments += _linked(shard, store)
        elif added or changed:
            result.fragments += _written(shard, store, known)
        result.replaced += changed
        result.added += added
        result.unchanged += unchanged
        meter.done += len(shard)
        meter.report()
    return result


def _compared(shard: Store, known: KnownFiles) -> tuple[list[str], int]:
    """Ids of a shard's rows that are in the gallery with another state, and how many with this."""
    changed, unchanged = [], 0
    for batch in shard.stream(["id", "size", "modified"]) if len(known) else ():
        ids = batch["id"].to_pylist()
        wanted = _wanted(batch, known)
        changed += [image_id for image_id in ids if image_id in wanted and known.has(image_id)]
        unchanged += len(ids) - len(wanted)
    return changed, unchanged


def _wanted(batch: pa.RecordBatch, known: KnownFiles) -> set[str]:
    """Ids of the rows that the gallery lacks, or has of an earlier state of the file."""
    columns = batch["id"], batch["size"], batch["modified"].cast("int64")
    states = zip(*(column.to_pylist() for column in columns), strict=True)
    return {image_id for image_id, *state in states if not known.is_unchanged(image_id, *state)}


def _fits(shard: Store, store: Store) -> bool:
    """Whether a shard's files can be part of the table: same format, same numbers of columns."""
    whole, part = store.dataset, shard.dataset
    numbers = {one.name(): one.id() for one in whole.lance_schema.fields()}
    own = {one.name(): one.id() for one in part.lance_schema.fields()}
    has_deletions = any(one.metadata.deletion_file for one in part.get_fragments())
    is_alike = part.data_storage_version == whole.data_storage_version
    return is_alike and own.items() <= numbers.items() and not has_deletions


def _linked(shard: Store, store: Store) -> list[Any]:
    """A shard's fragments, with their files in the table's folder too."""
    found = [fragment.metadata for fragment in shard.dataset.get_fragments()]
    for file in (file for fragment in found for file in fragment.files):
        _link(_data(shard) / file.path, _data(store) / file.path)
    return found


def _data(store: Store) -> Path:
    return store.folder / store.table / "data"


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)  # of a merge that was killed before its commit
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _written(shard: Store, store: Store, known: KnownFiles) -> list[Any]:
    """The rows that are wanted, as new fragments."""
    import pyarrow as pa
    from lance.fragment import write_fragments

    reader = pa.RecordBatchReader.from_batches(store.schema, _delta(shard, store, known))
    return list(write_fragments(reader, store.dataset, mode="append"))


def _delta(shard: Store, store: Store, known: KnownFiles) -> Iterator[pa.RecordBatch]:
    for batch in shard.stream(list(rows.OWN_COLUMNS)):
        wanted = _wanted(batch, known)
        ids = batch["id"].to_pylist()
        taken = batch.take(np.flatnonzero([image_id in wanted for image_id in ids]))
        columns = {name: taken[name] for name in rows.OWN_COLUMNS}
        columns |= kept_metadata(store, known, taken["id"].to_pylist())
        yield from rows.as_table(columns, store.schema).to_batches()
