"""What every verb prints with: escaped names, JSON, sizes, and the width of the terminal."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

from typer import confirm, style

from composir.errors import ComposirError
from composir.names import printable

__all__ = [
    "duration",
    "echo",
    "file_size",
    "is_terminal",
    "note",
    "print_json",
    "printable",
    "shortened",
]

_KILO = 1000
_READER_GONE = {errno.EPIPE, *([errno.EINVAL] if os.name == "nt" else [])}


def echo(text: str, *, to_stderr: bool = False, lead: str = "", colour: str | None = None) -> None:
    """Print one text; what could harm a terminal is escaped, wherever it comes from.

    Not `typer.echo`, which writes UTF-8 to a stream that says ASCII: main.py has set both streams
    to escape what they lack.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    shown = printable(lead)
    if colour is not None and stream.isatty():
        shown = style(shown, fg=colour)
    with _whoever_listens(stream):
        stream.write(f"{shown}{_harmless(text)}\n")
        stream.flush()


def echo_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are: names of files need not be text."""
    with _whoever_listens(sys.stdout):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def prepare_streams() -> None:
    """Make stdout and stderr of this process ready for anything that is printed.

    A character that one of them lacks becomes an escape; one that is closed throws all away.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _whoever_listens(stream: TextIO) -> Iterator[None]:
    """Print to a reader that may leave early (`composir info | head`), which stops nothing.

    What comes after is thrown away: an index run goes on to its end, and the exit code says what
    became of the work.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _READER_GONE:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _harmless(text: str) -> str:
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def shortened(text: str, width: int) -> str:
    """Cut the middle out of a text that is too long, so that both ends stay readable."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def file_size(count: int) -> str:
    """Bytes for people: `512 B`, `3.4 MB`."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < _KILO or unit == "TB":
            break
        size /= _KILO
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds for people: `4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def as_document(report: object) -> dict[str, Any]:
    """The fields of a report, a dataclass, for `print_json`."""
    assert is_dataclass(report)
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    return {name: _named(value) for name, value in values.items()}


def _named(value: Any) -> Any:
    """Names of JSON are texts, and folders are not."""
    is_table = isinstance(value, Mapping)
    return {str(key): item for key, item in value.items()} if is_table else value


def print_json(document: object) -> None:
    """Write one JSON document to stdout, in ASCII, so that no name and no locale breaks it.

    A byte that is not UTF-8 in a file name comes as the lone surrogate that Python's
    `os.fsencode` turns back into that byte.
    """
    echo(json.dumps(document, indent=2, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"no JSON form for {type(value).__name__}")


def note(message: str) -> None:
    """Write a line for people to stderr."""
    echo(message, to_stderr=True)


def is_asked_by_people() -> bool:
    """Whether there is somebody to answer a question."""
    return sys.stdin.isatty()


def agree(what: str, nothing: str, error: type[ComposirError]) -> None:
    """Let people confirm `what`, or raise `error` with `nothing`; programs say `--yes`."""
    if not is_asked_by_people():
        raise error(f"this would {what}; {nothing} yet: add --yes")
    if not confirm(f"{what}?", err=True):
        raise error(nothing)


def is_terminal() -> bool:
    """Whether people, not a program, read stdout."""
    return sys.stdout.isatty()


@contextmanager
def quiet_native_code() -> Iterator[None]:
    """Hold back what libraries print past Python to stderr inside the block.

    Lance's threads tell of damage that way, in words for its programmers; composir tells it itself.
    For the command line alone, which has its process to itself.
    """
    try:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # stderr is closed, or nothing more can be opened
        yield
        return
    try:
        sys.stderr.flush()
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
