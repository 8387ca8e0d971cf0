"""The process in which pictures are decoded that may take too much: `python -m` this module.

It reads one file after another from its standard input and answers on its standard output, as
`pipe` has it. It ends when its input does, when it has had nothing to do for a while, and, on its
own, when a picture takes longer than it may: whoever started it may be gone.
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from composir.errors import ImageReadError
from composir.images import pipe
from composir.images.formats import recognise
from composir.images.read import read_unbounded
from composir.types import DecodedImage

_IDLE_SECONDS = 120.0
_GRACE_SECONDS = 5.0  # the other side watches the time as well, and has the first word
_MOST_THREADS = 4
_THREAD_SETTINGS = {
    "AVIF": ("PIL.AvifImagePlugin", "DEFAULT_MAX_THREADS"),
    "HEIF": ("pillow_heif.options", "DECODE_THREADS"),
    "JXL": ("pillow_jxl.JpegXLImagePlugin", "DECODE_THREADS"),
}
_SLACK_BYTES = 48 << 20  # what the allocator keeps, and the stacks of the decoders' threads


def main() -> None:
    """Serve until the input ends."""
    jobs, answers = sys.stdin.buffer, _private_stdout()
    with Path(os.devnull).open("wb") as nowhere:
        while True:
            faulthandler.dump_traceback_later(_IDLE_SECONDS, exit=True, file=nowhere)
            try:
                job = pipe.receive(jobs)
                seconds = job["seconds"] + _GRACE_SECONDS
                faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
                content = pipe.read_exactly(jobs, job["file_bytes"])
            except EOFError:
                return
            _answer(answers, content, job)


def _private_stdout() -> BinaryIO:
    """Keep the standard output for answers; what a library prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _answer(answers: BinaryIO, content: bytes, job: dict[str, Any]) -> None:
    try:
        _few_threads(content)
        with _memory_limited(job["memory"]):
            image = read_unbounded(content, min_side=job["min_side"])
    except ImageReadError as error:
        pipe.send(answers, {"reason": str(error), "needs": error.needs})
        answers.flush()
    else:
        pipe.send(answers, _facts(image))
        pipe.send_pixels(answers, image.rgb)


def _facts(image: DecodedImage) -> dict[str, Any]:
    return {
        "size": image.rgb.size,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "taken_at": image.taken_at.isoformat() if image.taken_at else None,
        "camera": image.camera,
    }


@contextmanager
def _memory_limited(size: int) -> Iterator[None]:
    """Let this process take so many bytes more than it has, where the system can hold it to that.

    Linux counts what a process writes to; other systems have no such limit, or ignore it.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + size + _SLACK_BYTES
    if before[1] != resource.RLIM_INFINITY:
        most = min(most, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_bytes().split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _few_threads(content: bytes) -> None:
    """Let decoders start few threads: each has a stack, and large machines would have many."""
    format_name = recognise(io.BytesIO(content)).name
    module, setting = _THREAD_SETTINGS.get(format_name, (None, ""))
    if module is not None:
        with suppress(ImportError):  # which reading is about to tell
            setattr(import_module(module), setting, min(_MOST_THREADS, os.cpu_count() or 1))


if __name__ == "__main__":
    main()
