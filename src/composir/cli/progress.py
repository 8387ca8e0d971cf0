"""Progress of long work: a bar for people, plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import typer

from composir.cli.interrupts import INTERRUPTED
from composir.cli.terminal import duration, note, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from composir.gallery.progress import IndexProgress

StageProgress: TypeAlias = Callable[[str, int, int], None]
_EVERY_SECONDS = 5.0


@contextmanager
def index_progress() -> Iterator[Callable[[IndexProgress], None]]:
    """Show progress on stderr for as long as the block runs."""
    if sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield PlainLines()


@contextmanager
def resumable_progress(stopped: Callable[[], str]) -> Iterator[Callable[[IndexProgress], None]]:
    """As `index_progress`; Ctrl-C ends the command, saying how far it came."""
    try:
        with index_progress() as show:
            yield show
    except KeyboardInterrupt as stop:
        note(stopped())
        raise typer.Exit(INTERRUPTED) from stop


@contextmanager
def stage_progress() -> Iterator[StageProgress]:
    """As `index_progress`, for work that tells (stage, done, total) alone."""
    from composir.gallery.progress import IndexProgress

    with index_progress() as show:
        yield lambda stage, done, total: show(IndexProgress(stage, done, total, 0, 0.0, None, None))


class PlainLines:
    """A line when a stage begins, ends, and every few seconds between; for logs."""

    def __init__(
        self,
        every: float = _EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = note,
    ) -> None:
        self._every = every
        self._clock = clock
        self._write = write
        self._told = ("", 0)
        self._next = 0.0

    def __call__(self, progress: IndexProgress) -> None:
        """Take a report; print it if it is time."""
        now = self._clock()
        if progress.remark:
            self._write(printable(progress.remark))
            return
        is_due = now >= self._next or progress.done == progress.total
        told = (progress.stage, progress.done)
        if told == self._told or (progress.stage == self._told[0] and not is_due):
            return
        self._told, self._next = told, now + self._every
        self._write(describe(progress))


def describe(progress: IndexProgress) -> str:
    """One line: `encode 1,200/5,000, 48.1 images/s, 1 min 19 s left, 3 failures`."""
    total = "" if progress.total is None else f"/{progress.total:,}"
    parts = [f"{progress.stage} {progress.done:,}{total}"]
    if progress.images_per_second > 0:
        parts.append(f"{progress.images_per_second:.1f} images/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    if progress.failures:
        parts.append(f"{progress.failures:,} failure{'s' * (progress.failures != 1)}")
    return ", ".join(parts)


@contextmanager
def _bar() -> Iterator[Callable[[IndexProgress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[progress.data.speed]{task.fields[rate]}"),
        TextColumn("[progress.remaining]{task.fields[left]}"),
        TextColumn("[red]{task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield StageBar(bar)


class StageBar:
    """Feeds reports to a rich progress bar, one task a stage."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, progress: IndexProgress) -> None:
        """Take a report and show it."""
        if progress.remark:
            self._bar.console.print(printable(progress.remark), markup=False, highlight=False)
            return
        rate, left = progress.images_per_second, progress.seconds_left
        self._bar.update(
            self._task_of(progress),
            total=progress.total,
            completed=progress.done,
            rate=f"{rate:.1f} images/s" if rate > 0 else "",
            left="" if left is None else f"{duration(left)} left",
            failed=f"{progress.failures:,} failed" if progress.failures else "",
        )

    def _task_of(self, progress: IndexProgress) -> TaskID:
        if self._task is None or progress.stage != self._stage:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(
                progress.stage, total=progress.total, rate="", left="", failed=""
            )
            self._stage = progress.stage
        return self._task
