"""Decoding in a process of its own, which is stopped when it takes too long or too much.

A few such processes are kept and given one picture after another; ordinary JPEGs never get here.
They know nothing but the bytes that they are sent, hear no Ctrl-C, and end with this process.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any, BinaryIO

import composir
from composir.errors import ImageReadError
from composir.images import pipe
from composir.images.bounds import POLL_SECONDS, Deadline
from composir.images.formats import DECODER_PROCESS
from composir.types import DecodedImage

_MODULE = "composir.images.worker"
_MOST_IDLE = 4
_SIGNS_OF_AN_END = (OSError, EOFError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Job:
    """A file to decode."""

    stream: BinaryIO  # the file
    file_bytes: int  # its length
    min_side: int | None  # as in `read_image`
    memory: int  # bytes that decoding may take


class DecoderGoneError(Exception):
    """A decoder's process ended before it had answered."""


class Decoder:
    """One process that decodes."""

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                **_apart(),
            )
        except OSError as error:
            raise ImageReadError(
                f"no process to decode it in could be started: {error.strerror or error}",
                needs=DECODER_PROCESS,
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self._process.poll() is None

    def decode(self, job: Job, seconds: float) -> DecodedImage:
        """Decode one file; whatever ends this early ends the process, too."""
        answer = _in_thread(lambda: self._ask(job, seconds))
        deadline = Deadline(seconds)
        try:
            while not wait([answer], POLL_SECONDS).done:
                deadline.check()
            return answer.result()
        except ImageReadError:
            if not answer.done():
                self.stop()
            raise
        except BaseException as error:
            self.stop()
            if isinstance(error, _SIGNS_OF_AN_END):
                raise DecoderGoneError from error
            raise

    def _ask(self, job: Job, seconds: float) -> DecodedImage:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        job.stream.seek(0)
        details = {"min_side": job.min_side, "memory": job.memory, "seconds": seconds}
        pipe.send(stdin, {**details, "file_bytes": job.file_bytes})
        pipe.copy(job.stream, stdin, job.file_bytes)
        stdin.flush()
        answer = pipe.receive(stdout)
        if "reason" in answer:
            raise ImageReadError(answer["reason"], needs=answer["needs"])
        return _image(answer, stdout)

    def stop(self) -> None:
        """End it, whatever it is doing."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()


def _in_thread(ask: Callable[[], DecodedImage]) -> Future[DecodedImage]:
    """Ask in a thread of its own: pipes cannot be waited for with a deadline."""
    answer: Future[DecodedImage] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=run, name="composir-decoder", daemon=True).start()
    return answer


def _image(answer: dict[str, Any], pixels: IO[bytes]) -> DecodedImage:
    width, height = answer["size"]
    taken_at = answer["taken_at"]
    return DecodedImage(
        rgb=pipe.receive_pixels(pixels, (width, height)),
        width=answer["width"],
        height=answer["height"],
        format=answer["format"],
        taken_at=datetime.fromisoformat(taken_at) if taken_at else None,
        camera=answer["camera"],
    )


class Decoders:
    """Processes that decode, started when they are needed and kept for the next picture."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Keep none yet; `command` starts one that speaks as `composir.images.worker` does."""
        self._command = command or [sys.executable, "-P", "-m", _MODULE]
        self._idle: list[Decoder] = []
        self._lock = Lock()

    def decode(self, job: Job, seconds: float) -> DecodedImage:
        """Decode one file in a process.

        Called from any number of threads at once.
        """
        kept = self._take()
        if kept is not None:
            try:
                return self._decode(kept, job, seconds)
            except DecoderGoneError:  # perhaps while it was idle: it gets a second chance
                pass
        try:
            return self._decode(Decoder(self._command), job, seconds)
        except DecoderGoneError as error:
            raise ImageReadError("the decoder gave up: the file is damaged or hostile") from error

    def close(self) -> None:
        """End the processes that are idle."""
        while (decoder := self._take()) is not None:
            decoder.stop()

    def forget(self) -> None:
        """Leave the processes to whoever started them: after a fork, that is the parent."""
        self._idle, self._lock = [], Lock()

    def _decode(self, decoder: Decoder, job: Job, seconds: float) -> DecodedImage:
        try:
            return decoder.decode(job, seconds)
        finally:
            self._give_back(decoder)

    def _take(self) -> Decoder | None:
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.is_alive:
                    return decoder
                decoder.stop()
        return None

    def _give_back(self, decoder: Decoder) -> None:
        with self._lock:
            is_kept = decoder.is_alive and len(self._idle) < _MOST_IDLE
            if is_kept:
                self._idle.append(decoder)
        if not is_kept:
            decoder.stop()


DECODERS = Decoders()
"""The processes of this one."""

atexit.register(DECODERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DECODERS.forget)


def _environment() -> dict[str, str]:
    """This process' modules for that one, and one thread for what it does not need."""
    root = str(Path(composir.__file__).parents[1])
    paths = [path for path in sys.path if path]
    if root not in paths:
        paths.append(root)
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}


def _apart() -> dict[str, Any]:
    """Out of reach of the terminal's Ctrl-C, which would otherwise end it as well."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}
