"""Which shards are there to be merged, and which are missing; what does not fit is refused."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from composir.errors import GalleryBusyError, GalleryError
from composir.gallery.lock import index_lock
from composir.gallery.manifest import BundleIdentity
from composir.gallery.shards.shard import Shard
from composir.gallery.shards.staging import (
    SHARDS_NAME,
    ShardPlan,
    ShardRecord,
    check_agreement,
    place_of,
    read_record,
    read_records,
    told_model,
)

_NEVER, _KILLED, _RUNNING = "never begun", "begun and not finished", "running now"


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
        """Refuse what does not belong together, and, unless they are allowed, missing shards.

        Raises:
            GalleryError: With what differs, or the numbers of all that are missing.
        """
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
