"""Settings of recipes: pydantic models, filled from TOML, then from `--set key=value`.

A table in the place of a setting that is one (`batch = {cats = 5}`) replaces it; one entry
(`--set batch.cats=5`) changes that entry and leaves the others. Every number has a range, so that
no run begins with nonsense; ranges are wide, and what only a recipe can judge is checked there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias, TypeVar, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import CoreSchema, core_schema

from composir.compose.blend import MOST_WEIGHT
from composir.data.schema import first_problem
from composir.data.untrusted_json import MANIFEST_LIMIT, read_text, shown
from composir.errors import TrainingError
from composir.limits import LARGEST_SEED
from composir.names import NAME_PATTERN

Config = TypeVar("Config", bound="Settings")
USUAL = 0.03
"""The model's temperature that settings are written for."""
_TEMPERATURES = frozenset({"temperature", "teacher_temperature", "student_temperature", "replaced"})


class Settings(BaseModel):
    """Settings of a recipe or of a part of one: frozen, of known keys and right types alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def changed(self, **changes: Any) -> Self:
        """The same with some settings replaced."""
        return _checked(type(self), {**dict(self), **changes})


@dataclass(frozen=True, slots=True)
class Between:
    """The range of a number, both ends included; NaN is in none."""

    least: float
    most: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: float) -> float:
        if not self.least <= value <= self.most:
            raise ValueError(f"it must be from {_bound(self.least)} to {_bound(self.most)}")
        return value


def _bound(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _named(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            "use small letters, digits, dots, dashes and underscores, a letter or digit first, "
            "e.g. --set name=my-composer"
        )
    return value


def _as_path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


def _as_tuple(value: Any) -> Any:
    """One text is a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Name: TypeAlias = Annotated[str, AfterValidator(_named)]
File: TypeAlias = Annotated[Path, BeforeValidator(_as_path)]
Files: TypeAlias = Annotated[tuple[File, ...], BeforeValidator(_as_tuple)]
Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]

Seed: TypeAlias = Annotated[int, Between(0, LARGEST_SEED)]
Steps: TypeAlias = Annotated[int, Between(0, 10**8)]
Every: TypeAlias = Annotated[int, Between(1, 10**8)]
Count: TypeAlias = Annotated[int, Between(0, 10**6)]
Batch: TypeAlias = Annotated[int, Between(1, 65_536)]
Pairs: TypeAlias = Annotated[int, Between(2, 65_536)]
"""A batch for a contrast, which needs two."""
Rows: TypeAlias = Annotated[int, Between(0, 65_536)]
Width: TypeAlias = Annotated[int, Between(1, 16_384)]
Heads: TypeAlias = Annotated[int, Between(1, 256)]
Layers: TypeAlias = Annotated[int, Between(0, 256)]
Tokens: TypeAlias = Annotated[int, Between(1, 64)]

Share: TypeAlias = Annotated[float, Between(0.0, 1.0)]
Dropout: TypeAlias = Annotated[float, Between(0.0, 0.99)]
Weight: TypeAlias = Annotated[float, Between(0.0, 1e4)]
BlendWeight: TypeAlias = Annotated[float, Between(0.0, MOST_WEIGHT)]
Length: TypeAlias = Annotated[float, Between(0.0, 100.0)]
"""Of a random vector, beside a unit vector."""
Rate: TypeAlias = Annotated[float, Between(0.0, 10.0)]
LearningRate: TypeAlias = Annotated[float, Between(1e-12, 10.0)]
Temperature: TypeAlias = Annotated[float, Between(1e-4, 100.0)]
OptionalTemperature: TypeAlias = Annotated[float, Between(0.0, 100.0)]


def read_config(kind: type[Config], file: Path | None, assignments: Sequence[str]) -> Config:
    """Make a configuration from TOML, if a file is given, and assignments above it.

    Assignments are `key=value`, with dots into nested parts; values are read as TOML values, and as
    plain strings where they are none.
    """
    values = _read_toml(file) if file else {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise TrainingError(f"--set {assignment}: write key=value")
        _assign(values, key.strip().split("."), _parse(value.strip()))
    return _checked(kind, _over_defaults(kind, values))


def as_dict(config: Settings) -> dict[str, Any]:
    """A configuration as plain values, for JSON."""
    return config.model_dump(mode="json")


def _checked(kind: type[Config], values: Mapping[str, Any]) -> Config:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise TrainingError(_in_words(kind, error)) from error


class _Entries(dict[str, Any]):
    """Entries that assignments named one by one; they go above what a setting holds already."""


def _read_toml(file: Path) -> dict[str, Any]:
    text = read_text(file, TrainingError, limit=MANIFEST_LIMIT)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{file} is no valid TOML: {_why(error)}") from error


def _why(error: ValueError | RecursionError) -> str:
    return "tables or lists nested too deeply" if isinstance(error, RecursionError) else str(error)


def _parse(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise TrainingError(f"--set {value[:40]}...: {_why(error)}") from error


def _assign(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for depth, part in enumerate(path[:-1], start=1):
        values = values.setdefault(part, _Entries())
        if not isinstance(values, dict):
            raise TrainingError(f"setting {'.'.join(path[:depth])} is a value and has no parts")
    values[path[-1]] = value


def _over_defaults(
    kind: type[Settings], values: Mapping[str, Any], base: Settings | None = None
) -> dict[str, Any]:
    """Values over `base`, the defaults that the outer configuration has for this part."""
    given = dict(values)
    for name in kind.model_fields.keys() & values.keys():
        field, value = kind.model_fields[name], values[name]
        part = getattr(base, name) if base else field.get_default(call_default_factory=True)
        if isinstance(part, Settings) and isinstance(value, Mapping):
            given[name] = _over_defaults(type(part), value, part)
        elif isinstance(value, _Entries) and isinstance(part, Mapping):
            given[name] = {**part, **value}
    return {**(dict(base) if base else {}), **given}


def _in_words(kind: type[Settings], error: ValidationError) -> str:
    """The first thing that does not fit: which setting, what it is, what it may be."""
    problem = error.errors(include_url=False)[0]
    *path, last = map(str, problem["loc"] or ("",))
    where = ".".join([*path, last])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(_part(kind, path).model_fields))
        return f"unknown setting {where}; known: {known}"
    if problem["type"] != "value_error":
        return f"setting {first_problem(error)}"
    said = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], int | float | str):
        return f"setting {where} is {shown(problem['input'])}: {said}"
    return f"{where}: {said}" if where else said


def _part(kind: type[Settings], path: Sequence[str]) -> type[Settings]:
    for name in path:
        kind = cast(type[Settings], kind.model_fields[name].annotation)
    return kind


def at_temperature(settings: Config, own: float | None, *but: str) -> Config:
    """Settings whose temperatures, in parts too, are taken from `USUAL` to a model's own.

    None, of a model that states none, changes nothing; `but` names parts that stay as they are,
    because they compare in a space of their own.
    """
    if own is None:
        return settings
    changes: dict[str, object] = {}
    for name, value in settings:
        if isinstance(value, Settings) and name not in but:
            changes[name] = at_temperature(value, own, *but)
        elif name in _TEMPERATURES:
            changes[name] = value * own / USUAL
    return settings.changed(**changes)
