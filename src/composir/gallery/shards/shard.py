"""Shards: which files are whose, where they wait for their merge, and what is noted of each.

A stable hash of the path below the root, the same on every machine, gives each file its shard.
Shards can be merged only where they follow the same plan; whoever comes with another is refused
with what differs, when it begins and again when all are merged.

A merge prepares what it adds beside the table, as fragments that no version names yet. A shard of
which the gallery has nothing is taken as it is: its files are linked into the table's folder, and
no row is read or written. Otherwise the rows that are new or changed are written, with the metadata
of those that they replace. What was prepared and never committed does no harm: the next run over
the gallery removes it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from composir.data.outputs import inside, write_inside
from composir.data.schema import Text, read_model
from composir.data.untrusted_json import MANIFEST_LIMIT
from composir.errors import GalleryError
from composir.gallery import rows
from composir.gallery.known import KnownFiles
from composir.gallery.manifest import BundleIdentity
from composir.gallery.progress import ProgressMeter
from composir.gallery.store import Store, one_of
from composir.gallery.upkeep import LOCK_NAME
from composir.gallery.writer import kept_metadata
from composir.limits import MOST_SHARDS

if TYPE_CHECKING:
    import pyarrow as pa


SHARDS_NAME = "shards"
RECORD_NAME = "composir-shard.json"
State: TypeAlias = Literal["begun", "complete", "merged"]
_Number = Annotated[int, Field(strict=True, ge=1, le=MOST_SHARDS)]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several disjoint parts of the files under some roots.

    Attributes:
        number: Which, from 1.
        of: How many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        """For people: `shard 3 of 64`."""
        return f"shard {self.number} of {self.of}"

    @property
    def folder_name(self) -> str:
        """What its folder is called; by name they are in order."""
        return f"{self.number:0{len(str(self.of))}d}-of-{self.of}"

    def takes(self, path: str, root: str) -> bool:
        """Whether a file is one of this shard's.

        Args:
            path: Absolute.
            root: The folder that it was found under, or the file itself.
        """
        relative = path[len(root.rstrip(os.sep)) + 1 :] or os.path.basename(path)  # noqa: PTH119
        name = os.fsencode(relative.replace(os.sep, "/"))
        digest = blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read `3/64`.

    Raises:
        GalleryError: If it is something else, or there is no such shard.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of <= MOST_SHARDS:
        raise GalleryError(
            f"--shard is K/N, the K-th of N shards, e.g. 3/64, with at most {MOST_SHARDS}; "
            f"not {text!r}"
        )
    return Shard(number, of)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What all shards of a gallery must have in common."""

    of: _Number  # how many there are
    bundle: BundleIdentity  # whose vectors they hold
    roots: tuple[Text, ...]  # absolute, in the order that they are looked through
    # Patterns in force, as they may be remembered, by root.
    exclude: Mapping[Text, tuple[Text, ...]]

    def differences(self, other: ShardPlan) -> list[str]:
        """What is otherwise here than there, in words."""
        told = []
        if self.of != other.of:
            told.append(f"{self.of} shards, not {other.of}")
        if self.bundle.fingerprint != other.bundle.fingerprint:
            told.append(f"the model {told_model(self.bundle)}, not {told_model(other.bundle)}")
        if self.roots != other.roots:
            told.append(f"the folders {shlex.join(self.roots)}, not {shlex.join(other.roots)}")
        elif self.exclude != other.exclude:
            told.append(f"the patterns {_patterns(self)}, not {_patterns(other)}")
        return told


def told_model(bundle: BundleIdentity) -> str:
    """A model for people: its name and the begin of its fingerprint."""
    return f"{bundle.name} ({bundle.fingerprint[:12]})"


def _patterns(plan: ShardPlan) -> str:
    found = dict.fromkeys(one for patterns in plan.exclude.values() for one in patterns)
    return shlex.join(found) or "none"


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What `composir-shard.json` says."""

    number: _Number  # which shard, from 1
    plan: ShardPlan  # what it has in common with the others
    # `begun`, `complete`, or `merged`: then its rows are in the gallery, and gone here.
    state: State

    @property
    def shard(self) -> Shard:
        """Number and how many there are."""
        return Shard(self.number, self.plan.of)

    def write(self, gallery: Path, state: State) -> ShardRecord:
        """Note a state, atomically."""
        noted = replace(self, state=state)
        text = json.dumps(asdict(noted), indent=2)
        write_inside(place_of(gallery, self.shard), RECORD_NAME, text)
        return noted


def place_of(gallery: Path, shard: Shard) -> Path:
    """The folder of a shard."""
    return inside(gallery, f"{SHARDS_NAME}/{shard.folder_name}")


def sweep(gallery: Path, shard: Shard) -> None:
    """Remove what a merged shard leaves but for the note of it; may be repeated."""
    for path in place_of(gallery, shard).iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in {RECORD_NAME, LOCK_NAME}:
            path.unlink()


def read_records(gallery: Path) -> list[ShardRecord]:
    """What is noted of all shards that were begun, in order; no lock is needed."""
    return sorted(_records(gallery), key=lambda one: (one.plan.of, one.number))


def read_record(gallery: Path, shard: Shard) -> ShardRecord | None:
    """What is noted of one shard; None where it was not begun."""
    path = place_of(gallery, shard) / RECORD_NAME
    return _read(path) if path.exists() else None


def _records(gallery: Path) -> Iterator[ShardRecord]:
    for path in sorted((gallery / SHARDS_NAME).glob(f"*/{RECORD_NAME}")):
        record = _read(path)
        if path.parent.name != record.shard.folder_name:
            raise GalleryError(f"{path.parent} says that it is {record.shard}; name it as it was")
        yield record


def _read(path: Path) -> ShardRecord:
    kind = "a shard's record; delete its folder and run the shard again"
    return read_model(path, ShardRecord, GalleryError, kind, limit=MANIFEST_LIMIT)


def check_agreement(
    gallery: Path, shard: Shard, plan: ShardPlan, others: Iterable[ShardRecord]
) -> None:
    """Refuse a shard that follows another plan than those that wait to be merged."""
    for other in others:
        told = plan.differences(other.plan) if other.state != "merged" else []
        if told:
            raise GalleryError(
                f"{shard} does not go with {other.shard}, which waits in "
                f"{gallery / SHARDS_NAME}: it has {'; and '.join(told)}. Run it as that one was "
                "run; or merge what waits first (composir merge); or delete that folder to begin "
                "again, and what its shards have encoded is lost"
            )


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
