"""Progress of work in named stages: a bar for people, lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from composir.cli.terminal import note

StageProgress: TypeAlias = Callable[[str, int, int], None]
_EVERY_SECONDS = 5.0


@contextmanager
def stage_progress() -> Iterator[StageProgress]:
    """Show (stage, done, total) on stderr for as long as the block runs."""
    if not sys.stderr.isatty():
        yield StageLines()
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show


class StageLines:
    """A line when a stage begins, ends, and every few seconds between."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = note,
    ) -> None:
        """Choose clock and output."""
        self._clock = clock
        self._write = write
        self._stage = ""
        self._next = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take a report; print it if it is time."""
        now = self._clock()
        if stage == self._stage and now < self._next and done != total:
            return
        self._stage, self._next = stage, now + _EVERY_SECONDS
        self._write(f"{stage}: {done:,} of {total:,}")
