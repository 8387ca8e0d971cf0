"""Configurations: frozen dataclasses, filled from TOML, then from `--set key=value`.

A table in the place of a setting that is one (`batch = {cats = 5}`) replaces it; one entry
(`--set batch.cats=5`) changes that entry and leaves the others.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.errors import TrainingError
from composir.train.ranges import check_number

Config = TypeVar("Config")


class _Entries(dict[str, Any]):
    """Entries that assignments named one by one; they go above what a setting holds already."""


def read_config(kind: type[Config], file: Path | None, assignments: Sequence[str]) -> Config:
    """Make a configuration.

    Args:
        kind: A frozen dataclass, whose fields may be dataclasses again.
        file: TOML, or None for the defaults.
        assignments: `key=value`, with dots into nested parts; values are read as TOML values, and
            as plain strings where they are none.

    Returns:
        The configuration, every key known and every value of its field's type.

    Raises:
        TrainingError: If the file is missing or no TOML, or a key or value does not fit.
    """
    values = _read_toml(file) if file else {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise TrainingError(f"--set {assignment}: write key=value")
        _assign(values, key.strip().split("."), _parse(value.strip()))
    return _build(kind, values, "")


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values, for JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return plain


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


def _build(
    kind: type[Config], values: Mapping[str, Any], prefix: str, base: Config | None = None
) -> Config:
    """Values over `base`, the defaults that the outer configuration has for this part."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise TrainingError(f"unknown setting {prefix}{key}; known: {', '.join(sorted(known))}")
        hint, name = hints[key], prefix + key
        part = _default(known[key]) if base is None else getattr(base, key)
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            arguments[key] = _build(hint, value, f"{name}.", part)  # type: ignore[arg-type]
        elif isinstance(value, _Entries) and isinstance(part, Mapping):
            arguments[key] = {**part, **_convert(hint, value, name)}
        else:
            arguments[key] = _convert(hint, value, name)
    return kind(**arguments) if base is None else dataclasses.replace(base, **arguments)  # type: ignore[type-var]


def _default(field: dataclasses.Field[Any]) -> Any:
    """A field's default; None where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _convert(hint: Any, value: Any, name: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = _as_float(value, name)
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if get_origin(hint) is not None:
        return _convert_parts(hint, value, name)
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and isinstance(value, bool) == (hint is bool)
    ):
        if hint in {int, float}:
            check_number(name, cast(float, value))
        return value
    raise _unfit(hint, value, name)


def _as_float(value: int, name: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise TrainingError(f"setting {name} is a number of hundreds of digits") from error


def _convert_parts(hint: Any, value: Any, name: str) -> Any:
    """A choice, or a collection whose items are converted one by one."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Literal:
        return _choose(parts, value, name)
    if kind is tuple and isinstance(value, list | str):
        items = value if isinstance(value, list) else [value]  # one text is a list of one
        return tuple(_convert(parts[0], item, name) for item in items)
    if kind is dict and isinstance(value, Mapping):
        return {key: _convert(parts[1], item, name) for key, item in value.items()}
    raise _unfit(hint, value, name)


def _unfit(hint: Any, value: Any, name: str) -> TrainingError:
    expected = getattr(hint, "__name__", str(hint))
    return TrainingError(f"setting {name} must be {expected}, not {value!r}")


def _choose(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    if value in choices:
        return value
    raise TrainingError(
        f"setting {name} must be one of {', '.join(map(str, choices))}, not {value!r}"
    )
