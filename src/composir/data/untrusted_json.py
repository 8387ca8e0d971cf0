"""JSON, JSONL and plain text that somebody else may have written: read in bounds, told in words.

Only regular files are read, up to a size, as UTF-8 with or without a mark at its beginning. What
would make Python slow, huge or recursive is refused before or while it is parsed: too many values,
nesting, endless digits; so is what reads as something else than it says: a key twice in one object,
NaN, numbers beyond any float. Whether the values are those that the reader needs is checked by
`schema`.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from composir.data.files import open_regular, read_regular
from composir.errors import ComposirError

MOST_DEEP = 100
"""Levels of lists and objects; what can only just be parsed could not be written again."""
MOST_VALUES = 10_000_000
"""In one document: every `{}` of three bytes takes 64 in memory."""
MOST_LINE = 1 << 24
"""Characters of one line of a file of lines."""
JSON_LIMIT = 1 << 28
"""Bytes of any file of JSON or text that is read whole: 256 MiB."""
MANIFEST_LIMIT = 1 << 24
"""Bytes of a manifest, a card or settings: 16 MiB."""
LINES_LIMIT = 1 << 32
"""Bytes of a file that is read line by line: 4 GiB."""

_MOST_SHOWN = 40
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class JsonFaultError(ValueError):
    """Why a text is no JSON to go on with.

    Attributes:
        reason: In words, without the place.
        line: Where in the text, from 1; None if it is not about one line.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        """Keep reason and line."""
        super().__init__(reason)
        self.reason, self.line = reason, line


def decode_json(text: str, *, lenient: bool = False) -> Any:
    """Parse one JSON value."""
    containers = text.count("[") + text.count("{")
    if containers + text.count(",") > MOST_VALUES:
        raise JsonFaultError(f"more than {MOST_VALUES:,} values in one document")
    try:
        value = (_LENIENT if lenient else _STRICT).decode(text)
    except json.JSONDecodeError as error:
        raise JsonFaultError(f"not JSON ({error.msg})", error.lineno) from error
    except RecursionError as error:
        raise JsonFaultError(_TOO_DEEP) from error
    except JsonFaultError:
        raise
    except ValueError as error:  # Python's limit against slow conversions
        raise JsonFaultError(
            "a whole number of more than 4,300 digits; write it as a string"
        ) from error
    if containers > MOST_DEEP and _is_deeper(value, MOST_DEEP):
        raise JsonFaultError(_TOO_DEEP)
    return value


def parse_json(
    where: str, text: str, error: type[ComposirError], *, line: str = "", halves: bool = True
) -> Any:
    """Parse one JSON value, or say where and why not.

    Args:
        where: File, or file and line, for messages.
        text: The value.
        error: What to raise.
        line: Added to `where` for a mistake of spelling, with `{}` for the line within the text.
        halves: Let halves of surrogate pairs pass; they stand for bytes of file names, but no file
            of UTF-8 can hold them.
    """
    try:
        value = decode_json(text)
    except JsonFaultError as fault:
        place = "" if fault.line is None else line.format(fault.line)
        raise error(f"{where}{place}: {fault.reason}") from fault
    if not halves and _ESCAPED_HALF.search(text):
        _refuse_halves(where, value, error)
    return value


def read_json(
    path: Path,
    error: type[ComposirError],
    kind: type | None = None,
    *,
    limit: int = JSON_LIMIT,
    missing: str = "this file is missing",
    halves: bool = True,
) -> Any:
    """Read a file of one JSON value.

    Args:
        path: The file.
        error: What to raise.
        kind: `list` or `dict`, whichever it has to hold; None for any value.
        limit: Most bytes.
        missing: What to say where it is not there.
        halves: As for `parse_json`.
    """
    text = read_text(path, error, limit=limit, missing=missing)
    value = parse_json(str(path), text, error, line=", line {}", halves=halves)
    if kind is not None and not isinstance(value, kind):
        raise error(f"{path}: holds {_kind_of(value)}, not {_KINDS[kind]}")
    return value


def read_text(
    path: Path,
    error: type[ComposirError],
    *,
    limit: int = JSON_LIMIT,
    missing: str = "this file is missing",
) -> str:
    """Read a file of text: UTF-8, a mark at its beginning left out, every line end a line feed."""
    try:
        text = read_regular(path, limit=limit).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise _unreadable(path, error, fault, missing) from fault
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(
    path: Path, error: type[ComposirError], *, missing: str = "this file is missing"
) -> Iterator[tuple[str, str]]:
    """Read a text file's non-empty lines one by one, each with where it is."""
    try:
        with (
            open_regular(path, limit=LINES_LIMIT) as file,
            io.TextIOWrapper(file, encoding="utf-8-sig") as text,
        ):
            for number, line in enumerate(iter(lambda: text.readline(MOST_LINE + 1), ""), start=1):
                if len(line) > MOST_LINE:
                    raise error(f"{path}, line {number}: more than {MOST_LINE:,} characters")
                if line.strip():
                    yield f"{path}, line {number}", line.removesuffix("\n")
    except (OSError, UnicodeDecodeError) as fault:
        raise _unreadable(path, error, fault, missing) from fault


def _unreadable(
    path: Path, error: type[ComposirError], fault: OSError | UnicodeDecodeError, missing: str
) -> ComposirError:
    if isinstance(fault, FileNotFoundError):
        return error(f"{path}: {missing}")
    if isinstance(fault, UnicodeDecodeError):
        return error(f"{path}: not UTF-8 text ({fault.reason} at byte {fault.start:,})")
    return error(f"{path}: cannot be read ({fault.strerror or fault})")


_TOO_DEEP = f"lists or objects are nested more than {MOST_DEEP} deep"
_KINDS = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}


def _kind_of(value: object) -> str:
    """What a value is called in JSON."""
    return "null" if value is None else _KINDS.get(type(value), "a number")


def _is_deeper(value: object, levels: int) -> bool:
    """Whether containers are nested beyond some levels; level by level, so without recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        inside = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for items in inside for child in items if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _refuse_halves(where: str, value: object, error: type[ComposirError]) -> None:
    """Halves of surrogate pairs get through `json`, but cannot be written into a result file."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as fault:
        raise error(
            f"{where}: half of a surrogate pair (\\ud800 to \\udfff by itself) is no text; "
            f"write the whole character"
        ) from fault


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonFaultError(f"the key {twice[:40]!r} comes twice in one object")
    return made


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise JsonFaultError(f"the number {digits[:40]} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise JsonFaultError(f"{name} is no JSON; write null for what is not known")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant
)
_LENIENT = json.JSONDecoder()


def is_finite_number(value: object) -> bool:
    """Whether a parsed value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def shown(value: object) -> str:
    """A value as the file spells it, null and not None, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."
