"""Index runs that a server makes: one at a time, watched by any number of clients."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from secrets import token_hex
from typing import Any, Literal, TypeAlias

from composir.errors import ComposirError
from composir.gallery.progress import IndexProgress
from composir.serve.http_problems import BusyError, JobNotFoundError
from composir.serve.schemas import JobDocument, Progress
from composir.types import IndexReport

State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})
_KEPT = 50
_MOST_WAITING = 8


@dataclass(slots=True)
class IndexJob:
    """An index run.

    Attributes:
        id: Names it.
        paths: What is indexed.
        retry_failures: Whether to read again what could not be read.
        state: What became of it so far.
        progress: Where it stands.
        report: Numbers of the run that is done.
        error: What failed.
        changes: Counts what there was to tell.
        is_unwanted: Whether it is to stop.
    """

    paths: tuple[Path, ...]
    retry_failures: bool = False
    id: str = field(default_factory=lambda: token_hex(8))
    state: State = "waiting"
    progress: IndexProgress | None = None
    report: IndexReport | None = None
    error: ComposirError | None = None
    changes: int = 0
    is_unwanted: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    def document(self) -> JobDocument:
        """The job for clients."""
        told, report, error = self.progress, self.report, self.error
        return {
            "id": self.id,
            "state": self.state,
            "progress": None if told is None else _where(told),
            "report": None if report is None else _numbers(report),
            "problem": None if error is None else {"code": error.code, "detail": str(error)},
        }


Index: TypeAlias = Callable[[IndexJob, Callable[[IndexProgress], None]], IndexReport]


class JobBoard:
    """The jobs of a server, and the thread that does them one by one."""

    def __init__(self, index: Index) -> None:
        """Start the thread."""
        self._index = index
        self._jobs: OrderedDict[str, IndexJob] = OrderedDict()
        self._queue: SimpleQueue[IndexJob | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="composir-jobs", daemon=True)
        self._thread.start()

    def add(self, paths: Sequence[Path], *, retry_failures: bool = False) -> IndexJob:
        """Have folders or files indexed, when what was asked for before is done."""
        if sum(job.state == "waiting" for job in self._jobs.values()) >= _MOST_WAITING:
            raise BusyError("too many index runs wait: come back when one is done", 30)
        job = IndexJob(tuple(paths), retry_failures)
        self._jobs[job.id] = job
        while len(self._jobs) > _KEPT:
            self._forget_oldest()
        self._queue.put(job)
        return job

    def find(self, job_id: str) -> IndexJob:
        """The job of an id."""
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFoundError("no such job; the last ones are listed at /v1/jobs")
        return job

    def newest(self) -> list[IndexJob]:
        """All jobs that are remembered, newest first."""
        return list(reversed(list(self._jobs.values())))

    def cancel(self, job: IndexJob) -> None:
        """Stop a job; what it has encoded stays in the gallery."""
        job.is_unwanted = True
        if job.state == "waiting":
            self._change(job, "cancelled")

    def close(self) -> None:
        """Stop everything, and end the thread."""
        for job in self._jobs.values():
            if not job.has_ended:
                self.cancel(job)
        self._queue.put(None)
        self._thread.join()

    def _forget_oldest(self) -> None:
        oldest = next((job for job in self._jobs.values() if job.has_ended), None)
        if oldest is None:
            return
        del self._jobs[oldest.id]

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if not job.has_ended:
                self._do(job)

    def _do(self, job: IndexJob) -> None:
        def told(progress: IndexProgress) -> None:
            job.progress = progress
            job.changes += 1
            if job.is_unwanted:
                raise KeyboardInterrupt

        self._change(job, "running")
        try:
            job.report = self._index(job, told)
        except KeyboardInterrupt:
            self._change(job, "cancelled")
        except ComposirError as error:
            job.error = error
            self._change(job, "failed")
        except Exception as error:
            job.error = ComposirError(f"the run failed: {type(error).__name__}")
            self._change(job, "failed")
        else:
            self._change(job, "done")

    @staticmethod
    def _change(job: IndexJob, state: State) -> None:
        job.state = state
        job.changes += 1


def _where(told: IndexProgress) -> Progress:
    return {
        "stage": told.stage,
        "done": told.done,
        "total": told.total,
        "failures": told.failures,
        "images_per_second": round(told.images_per_second, 2),
        "seconds_left": told.seconds_left,
    }


def _numbers(report: IndexReport) -> dict[str, Any]:
    return {
        "added": report.added,
        "reused": report.reused,
        "unchanged": report.unchanged,
        "dropped": report.dropped,
        "total": report.total,
        "seconds": round(report.seconds, 3),
        "failures": [
            {"path": str(failure.path), "reason": failure.reason} for failure in report.failures
        ],
    }
