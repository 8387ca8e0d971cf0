"""Types of fields in files, and parsed values against them; what does not fit is told in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from composir.data.untrusted_json import JSON_LIMIT, parse_json, read_json, read_lines, shown
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


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise PydanticCustomError("name", "must be a text")


def _as_name(value: object) -> str:
    # `bool` is an `int` to Python, but nobody calls an image `true`.
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise PydanticCustomError("name", "must be a text or a whole number")


def _as_number(value: object) -> str:
    name = "" if isinstance(value, bool) else str(value)
    if not (name.isascii() and name.isdecimal()):
        raise PydanticCustomError("name", "must be a whole number")
    return name


def _as_told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Not pydantic's own type of texts: it refuses the surrogates that stand for bytes of file names.
Text = Annotated[str, PlainValidator(_as_text)]
"""A text."""

Name = Annotated[str, PlainValidator(_as_name)]
"""A name, which may be written as a whole number."""

Number = Annotated[str, PlainValidator(_as_number)]
"""An id that is a whole number, as text; public sets name image files after it."""

Told = Annotated[str, PlainValidator(_as_told)]
"""What people read: nothing hangs on it, so other values than texts are spelled out."""

Whole = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
"""A whole number; true and false are none."""

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number that is neither NaN nor infinite."""


class FileRow(BaseModel):
    """An object of somebody's file: null is as good as left out, and other keys are let pass."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        return {key: value for key, value in row.items() if value is not None}


class ManifestPart(BaseModel):
    """An object of a file of composir's own: it holds what its version knows, and nothing else.

    Attributes:
        later: Fields that earlier versions do not know. They are not written where they say
            nothing, so that these still load a file that needs none of them, and fingerprints of
            what was written stay what they were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_the_unsaid(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialise(self)
        return {k: v for k, v in fields.items() if v is not None or k not in self.later}


_NAMED = 3
_KINDS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """A row or file that cannot be used: where it is and why.

    Attributes:
        where: File, or file and line.
        reason: Why, in words.
        kind: What it has in common with others whose reasons name other details; the reason itself
            where there are no details.
    """

    where: str
    reason: str
    kind: str = ""


def summarised(problems: Iterable[Problem]) -> list[str]:
    """Lines for people, one for each kind of problem, the most frequent first."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind or problem.reason, []).append(problem)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    lines = [_line(alike) for alike in ordered[:_KINDS]]
    rest = [len(alike) for alike in ordered[_KINDS:]]
    if rest:
        lines.append(f"... and {sum(rest):,} more, of {len(rest):,} other kinds")
    return lines


def log_skipped(failures: Iterable[tuple[object, str]], log: Callable[[str], None]) -> None:
    """Log which files are skipped."""
    for line in summarised(Problem(str(file), reason) for file, reason in failures):
        log(f"skipping {line}")


def _line(alike: list[Problem]) -> str:
    first = alike[0]
    named = alike[: 1 if first.kind else _NAMED]  # one's details say nothing of another's place
    places = ", ".join(one.where for one in named)
    more = len(alike) - len(named)
    return f"{places}{f' and {more:,} more' if more else ''}: {first.reason}"
