"""The merge: all shards of a gallery become part of it, in one commit, or are missing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from composir.data.files import TEMPORARY_PREFIX, absolute
from composir.data.volumes import Volume, device_of, lies_below
from composir.errors import GalleryBusyError, GalleryError
from composir.gallery.contents import Snapshot
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.failures import FailedFile, read_failures, write_failures
from composir.gallery.manifest import BundleIdentity, GalleryManifest, RootFacts, read_manifest
from composir.gallery.metadata import finish_widening
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.shards.fragments import Additions, prepare_additions
from composir.gallery.shards.shard import (
    SHARDS_NAME,
    Shard,
    ShardPlan,
    ShardRecord,
    check_agreement,
    place_of,
    read_record,
    read_records,
    sweep,
    told_model,
)
from composir.gallery.store import EXACT_LIMIT, Store
from composir.gallery.upkeep import index_lock, tidy
from composir.images.containers import holder
from composir.types import Failure

_NEVER, _KILLED, _RUNNING = "never begun", "begun and not finished", "running now"
_NOTE = "composir.merge"
_GOING = f"{TEMPORARY_PREFIX}shards"


class Muster:
    """The shards of a gallery as they are now; no worker can begin with one that is `ready`.

    Attributes:
        ready: To be merged.
        merged: Numbers of those that were merged before.
        missing: Why the others are not ready, by number.
    """

    def __init__(self, gallery: Path, bundle: BundleIdentity, locks: ExitStack) -> None:
        """Look at all shards; `locks` holds those that are ready."""
        self._gallery, self._bundle, self._locks = gallery, bundle, locks
        records = read_records(gallery)
        waiting = [one for one in records if one.state != "merged"]
        self._plan = next((one.plan for one in waiting or records), None)
        self._waiting = waiting
        self._records = {one.number: one for one in [*self._merged_of(records), *waiting]}
        self.ready: list[ShardRecord] = []
        self.merged: list[int] = []
        self.missing: dict[int, str] = {}

    def _merged_of(self, records: list[ShardRecord]) -> list[ShardRecord]:
        """Those that were merged before; of other plans they are history."""
        return [
            one
            for one in records
            if one.state == "merged" and self._plan and not one.plan.differences(self._plan)
        ]

    @property
    def of(self) -> int:
        """How many there are; 0 where none is left."""
        return 0 if self._plan is None else self._plan.of

    def check(self, *, allow_missing: bool) -> None:
        """Refuse what does not belong together, and, unless they are allowed, missing shards."""
        if self._plan is None:
            return
        self._check_agreement(self._plan)
        for number in range(1, self._plan.of + 1):
            self._sort(Shard(number, self._plan.of))
        if self.missing and not allow_missing:
            raise GalleryError(
                f"{len(self.missing)} of {self.of} shards are missing: {self._told()}. Run them, "
                "and merge again; or merge what there is: composir merge --allow-missing"
            )

    def _check_agreement(self, plan: ShardPlan) -> None:
        for record in self._waiting:
            check_agreement(self._gallery, record.shard, record.plan, self._waiting)
        if self._waiting and plan.bundle.fingerprint != self._bundle.fingerprint:
            raise GalleryError(
                f"the shards in {self._gallery / SHARDS_NAME} are of {told_model(plan.bundle)}, "
                f"and the gallery is of {told_model(self._bundle)}: their vectors cannot be "
                "compared. Delete that folder and run the shards with the gallery's model, or "
                "with --gallery for another gallery"
            )

    def _sort(self, shard: Shard) -> None:
        """Put a shard where it belongs; one that is ready stays locked."""
        record = self._records.get(shard.number)
        if record is not None and record.state == "merged":
            self.merged.append(shard.number)
        elif record is None:
            self.missing[shard.number] = _NEVER
        else:
            self._lock(shard)

    def _lock(self, shard: Shard) -> None:
        with ExitStack() as lock:
            try:
                lock.enter_context(index_lock(place_of(self._gallery, shard)))
            except GalleryBusyError:
                self.missing[shard.number] = _RUNNING
                return
            record = read_record(self._gallery, shard)  # no worker can change it from here on
            if record is None or record.state != "complete":
                self.missing[shard.number] = _KILLED
                return
            self._locks.enter_context(lock.pop_all())
            self.ready.append(record)

    def _told(self) -> str:
        """`3, 5 (never begun); 17 (running now)`."""
        by_reason: dict[str, list[int]] = {}
        for number, reason in self.missing.items():
            by_reason.setdefault(reason, []).append(number)
        return "; ".join(
            f"{', '.join(map(str, numbers))} ({reason})" for reason, numbers in by_reason.items()
        )


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did, in numbers of images unless said otherwise.

    Attributes:
        shards: How many there are.
        merged: Numbers of those that were merged now.
        merged_before: Numbers of those that an earlier merge has taken.
        missing: Why others were left out, by number.
        added: New in the gallery.
        replaced: In the gallery before, of an earlier state of the file.
        unchanged: In the gallery already.
        failures: What these shards could not read.
        total: In the gallery now.
        seconds: Wall time.
    """

    shards: int
    merged: tuple[int, ...]
    merged_before: tuple[int, ...]
    missing: dict[int, str]
    added: int
    replaced: int
    unchanged: int
    failures: tuple[Failure, ...]
    total: int
    seconds: float


def merge_shards(
    gallery: Path,
    *,
    allow_missing: bool = False,
    progress: ProgressCallback | None = None,
    exact_limit: int = EXACT_LIMIT,
) -> MergeReport:
    """Make the shards that `index_shard` has made part of their gallery.

    What the gallery has as it is stays; changed pictures keep their metadata; pictures that were
    deleted leave with the next `Gallery.index`. A merge may be killed at any time and repeated.

    Args:
        gallery: The gallery's folder.
        allow_missing: Merge what is complete; the shards that are not can be merged later.
        progress: As of `Gallery.index`.
        exact_limit: Above this number of images, search goes through an index.

    Raises:
        GalleryError: If there are no shards, some are missing (all are named), or they do not
            belong together or to the gallery.
        GalleryBusyError: If another process is indexing or merging the gallery.
    """
    gallery = absolute(gallery)
    read_manifest(gallery)  # that there is no gallery comes before a lock is made
    with clear_disk_errors(gallery, writing=True), index_lock(gallery), ExitStack() as locks:
        merge = _Merge(gallery, locks, ProgressMeter(progress), allow_missing)
        return merge.run(exact_limit)


class _Merge:
    """One merge, under the index lock."""

    def __init__(
        self, gallery: Path, locks: ExitStack, meter: ProgressMeter, allow_missing: bool
    ) -> None:
        self._begun = time.perf_counter()
        self._gallery, self._locks, self._meter = gallery, locks, meter
        self._manifest = read_manifest(gallery)
        self._store = Store(gallery, self._manifest.bundle.dimension)
        self._store.check_files()
        self._muster = Muster(gallery, self._manifest.bundle, locks)
        if not self._muster.of and not len(self._store):
            raise GalleryError(
                f"no shards wait in {gallery / SHARDS_NAME}; make the first: composir index FOLDER "
                "--shard 1/4 --gallery GALLERY"
            )
        self._muster.check(allow_missing=allow_missing)

    def run(self, exact_limit: int) -> MergeReport:
        """Add rows, then what is known of files and folders; remove the shards last."""
        additions, failures = Additions(), dict[str, FailedFile]()
        if self._muster.ready:
            self._remember_roots()
            additions = self._add()
            failures = self._note_failures()
        self._meter.start("tidying", None)
        self._meter.report(force=True)
        tidy(self._store, self._manifest, exact_limit)
        self._manifest = self._manifest.updated_now()
        self._manifest.write(self._gallery)
        _ = Snapshot(self._store, exact_limit).ranker  # not made by a search
        self._retire()
        return MergeReport(
            shards=self._muster.of,
            merged=tuple(one.number for one in self._muster.ready),
            merged_before=tuple(self._muster.merged),
            missing=self._muster.missing,
            added=additions.added,
            replaced=len(additions.replaced),
            unchanged=additions.unchanged,
            failures=tuple(entry.as_failure() for entry in failures.values()),
            total=len(self._store),
            seconds=time.perf_counter() - self._begun,
        )

    def _remember_roots(self) -> None:
        """Write down the roots and what is known of them, before any row of theirs is there."""
        record = self._muster.ready[-1]
        shard = read_manifest(place_of(self._gallery, record.shard))
        facts = {root: _facts_here(shard, root) for root in record.plan.roots}
        self._manifest = self._manifest.with_roots(facts)
        self._manifest.write(self._gallery)

    def _add(self) -> Additions:
        """The one commit; none where an earlier merge that was killed has made it."""
        self._store.create(self._manifest.bundle)
        finish_widening(self._store)
        shards = [self._table(record) for record in self._muster.ready]
        self._meter.start("merging", sum(map(len, shards)))
        note = {_NOTE: _key(shards)}
        if self._store.has_note(note):
            return Additions(unchanged=sum(map(len, shards)))
        additions = prepare_additions(self._store, shards, self._meter)
        operation = additions.operation(self._store)
        if operation is not None:
            self._store.commit(operation, note)
        return additions

    def _table(self, record: ShardRecord) -> Store:
        table = Store(place_of(self._gallery, record.shard), record.plan.bundle.dimension)
        table.check_files()
        return table

    def _note_failures(self) -> dict[str, FailedFile]:
        """What the shards could not read, in the place of what was known of their files."""
        parts = [record.shard for record in self._muster.ready]
        roots = self._muster.ready[0].plan.roots
        before = {
            path: entry
            for path, entry in read_failures(self._gallery).items()
            if not _is_taken(path, roots, parts)
        }
        now: dict[str, FailedFile] = {}
        for part in parts:
            now |= read_failures(place_of(self._gallery, part))
        write_failures(self._gallery, before | now)
        return now

    def _retire(self) -> None:
        """Remove what was merged; the notes of it stay until no shard is missing."""
        for record in self._muster.ready:
            record.write(self._gallery, "merged")
        if self._muster.missing:
            for record in self._muster.ready:
                sweep(self._gallery, record.shard)
            return
        self._locks.close()
        folder, going = self._gallery / SHARDS_NAME, self._gallery / _GOING
        shutil.rmtree(going, ignore_errors=True)  # of a merge that was killed
        if folder.exists():
            folder.rename(going)  # at once: a part of it would look like missing shards
            shutil.rmtree(going, ignore_errors=True)


def _facts_here(shard: GalleryManifest, root: str) -> RootFacts:
    """What a shard remembers of a root; its disks have other numbers on another machine."""
    facts = shard.facts(root)
    numbers = {one: device_of(one.folder) for one in facts.volumes}
    volumes = [Volume(one.folder, one.device if n is None else n) for one, n in numbers.items()]
    return RootFacts(facts.exclude, tuple(volumes))


def _key(shards: Sequence[Store]) -> str:
    """Of exactly these rows of these shards."""
    digest = blake2b(digest_size=16)
    for table in shards:
        digest.update(f"{table.folder.name} {table.identity}\n".encode())
    return digest.hexdigest()


def _is_taken(path: str, roots: Sequence[str], parts: Sequence[Shard]) -> bool:
    """Whether a file is one of some shards'."""
    root = next((one for one in roots if lies_below(path, one)), None)
    return root is not None and any(part.takes(holder(path), root) for part in parts)
