"""Parsed values against a model or dataclass; what does not fit is told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from composir.data.untrusted_json import (
    JSON_LIMIT,
    MANIFEST_LIMIT,
    parse_json,
    read_json,
    read_lines,
    shown,
)
from composir.errors import ComposirError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_Model = TypeVar("_Model")

_EXPECTED: Mapping[str, str] = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
    "mapping": "an object",
    "model": "an object",
    "dataclass": "an object",
}
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
_OF_TYPE = ("_type", "_parsing", "_from_float", "_number", "_parsing_size")


def read_model(
    path: Path,
    model: type[_Model],
    error: type[ComposirError],
    what: str,
    *,
    limit: int = JSON_LIMIT,
) -> _Model:
    """Read a JSON file that a type describes: a model of pydantic, a dataclass, a list of texts.

    Args:
        path: The file.
        model: What it must hold.
        error: What to raise.
        what: The file's kind, e.g. `a result file of version 1`.
        limit: Most bytes.
    """
    return fitting(path, read_json(path, error, limit=limit), model, error, what)


def read_own(path: Path, model: type[_Model], error: type[ComposirError], what: str) -> _Model:
    """As `read_model`, of a small file of composir's own.

    Args:
        path: The file.
        model: What it must hold.
        error: What to raise.
        what: The file's kind and the way out, which are said whatever is wrong with it.
    """
    try:
        value = read_json(path, error, limit=MANIFEST_LIMIT)
    except error as fault:
        raise error(f"{fault}: not {what}") from fault
    return fitting(path, value, model, error, what)


def fitting(
    path: Path, value: Any, model: type[_Model], error: type[ComposirError], what: str
) -> _Model:
    """A parsed value as a type describes it; see `read_model`."""
    from pydantic import ValidationError

    try:
        made: _Model = _adapter(model).validate_python(value)
    except ValidationError as fault:
        raise error(f"{path} is not {what}: {first_problem(fault)}") from fault
    except UnicodeEncodeError as fault:  # pydantic's own text type knows no halves of pairs
        raise error(f"{path} is not {what}: half of a surrogate pair is no text") from fault
    return made


def read_rows(
    path: Path, model: type[_Model], error: type[ComposirError], *, halves: bool = True
) -> Iterator[tuple[str, _Model]]:
    """Read a file of one JSON object a line, line by line."""
    for where, line in read_lines(path, error):
        yield where, as_row(where, parse_json(where, line, error, halves=halves), model, error)


def as_row(where: str, value: Any, model: type[_Model], error: type[ComposirError]) -> _Model:
    """A parsed object, e.g. an entry of a list, as a type describes it."""
    from pydantic import ValidationError

    if not isinstance(value, dict):
        raise error(f"{where}: must be an object, not {shown(value)}")
    try:
        made: _Model = _adapter(model).validate_python(value)
    except ValidationError as fault:
        problem = fault.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        told = f"no {key!r}" if problem["type"] == "missing" else f"{key!r} {_told(problem)}"
        raise error(f"{where}: {told}") from fault
    except UnicodeEncodeError as fault:  # pydantic's own text type knows no halves of pairs
        raise error(f"{where}: half of a surrogate pair is no text") from fault
    return made


def _adapter(model: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    if model not in _ADAPTERS:
        _ADAPTERS[model] = TypeAdapter(model)
    return _ADAPTERS[model]


def first_problem(error: ValidationError) -> str:
    """The first thing that a validation found, where, and how many there are."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return (f"{where}: " if where else "") + _told(problem) + more


def _told(problem: Mapping[str, Any]) -> str:
    kind = str(problem["type"])
    expected = _EXPECTED.get(kind.partition("_")[0])
    if expected and kind.endswith(_OF_TYPE):
        return f"must be {expected}, not {shown(problem['input'])}"
    if kind == "missing":
        return "missing"
    if kind == "name":
        return f"{problem['msg']}, not {shown(problem['input'])}"
    if kind == "extra_forbidden":
        return "is not known here"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return said.replace("Input should be", f"{shown(problem['input'])} should be")
