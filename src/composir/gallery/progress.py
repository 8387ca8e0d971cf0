"""What an index run tells while it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal[
    "scanning", "encoding", "metadata", "merging", "tidying", "fetching", "publishing"
]

SECONDS_BETWEEN_CALLS = 0.1


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """Where an index run stands.

    Attributes:
        stage: `scanning` looks for new files, `encoding` reads and encodes them, `metadata` brings
            in the sidecar's columns, `merging` compares shards with the gallery, `tidying`
            compacts the folder and builds what search needs.
        done: Files dealt with in this stage.
        total: Files to deal with in this stage; None while unknown.
        failures: Files that could not be read, so far.
        images_per_second: Over this stage.
        seconds_left: None while unknown.
        current: The file (or folder) last touched.
        remark: What people should read now, before the run goes on; empty as a rule.
    """

    stage: str
    done: int
    total: int | None
    failures: int
    images_per_second: float
    seconds_left: float | None
    current: Path | None
    remark: str = ""


ProgressCallback: TypeAlias = Callable[[IndexProgress], None]


class ProgressMeter:
    """Counts, and calls back at most about ten times a second and at the end of each stage."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        """Start counting; `callback` None counts in silence."""
        self._callback = callback
        self._called = 0.0
        self.failures = 0
        self.start("scanning", None)

    def start(self, stage: Stage, total: int | None) -> None:
        """Begin a stage."""
        self._stage: Stage = stage
        self._total = total
        self._begun = time.monotonic()
        self.done = 0
        self.current: Path | None = None

    def expect(self, more: int) -> None:
        """Raise the total: there is more to do in this stage than was known."""
        self._total = None if self._total is None else self._total + more

    def say(self, remark: str) -> None:
        """Call back at once with something that people should read."""
        if self._callback is not None:
            self._callback(replace(self._snapshot(time.monotonic()), remark=remark))

    def report(self, *, force: bool = False) -> None:
        """Call back if the last call is long enough ago, or if `force` is set."""
        now = time.monotonic()
        if self._callback is None or not (force or now - self._called >= SECONDS_BETWEEN_CALLS):
            return
        self._called = now
        self._callback(self._snapshot(now))

    def _snapshot(self, now: float) -> IndexProgress:
        done = self.done  # other threads count on
        rate = done / max(now - self._begun, 1e-9)
        # Files may come while the run is under way: never more done than there is to do.
        total = None if self._total is None else max(self._total, done)
        left = (total - done) / rate if total is not None and done and rate > 0 else None
        return IndexProgress(self._stage, done, total, self.failures, rate, left, self.current)
