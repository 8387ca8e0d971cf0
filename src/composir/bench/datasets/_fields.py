"""Values of annotation files, checked for their type; messages name the entry and the field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from composir.errors import DatasetError

_MOST_SHOWN = 40
_Kind = TypeVar("_Kind")


def text_field(where: str, row: Mapping[str, Any], key: str) -> str | None:
    """A text; None where there is none, or null.

    Raises:
        DatasetError: If it is anything but a string.
    """
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value
    raise wrong(where, key, "a string", value)


def required_text(where: str, row: Mapping[str, Any], key: str) -> str:
    """A text that has to be there.

    Raises:
        DatasetError: If it is missing or anything but a string.
    """
    text = text_field(where, row, key)
    if text is None:
        raise DatasetError(f"{where}: no {key!r}")
    return text


def name_field(where: str, row: Mapping[str, Any], key: str) -> str | None:
    """A name, which may be written as a whole number; None where there is none, or null.

    Raises:
        DatasetError: If it is anything else.
    """
    value = row.get(key)
    return None if value is None else _name(where, key, "a string or a whole number", value)


def required_name(where: str, row: Mapping[str, Any], key: str) -> str:
    """A name that has to be there; it may be written as a whole number.

    Raises:
        DatasetError: If it is missing or anything else.
    """
    name = name_field(where, row, key)
    if name is None:
        raise DatasetError(f"{where}: no {key!r}")
    return name


def names_field(where: str, row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of names; empty where there is none, or null.

    Raises:
        DatasetError: If it is no list, or holds anything but names.
    """
    value = row.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong(where, key, "a list of names", value)
    return tuple(_name(where, key, "a list of names alone", item) for item in value)


def required_names(where: str, row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of names that has to be there.

    Raises:
        DatasetError: If it is missing, no list, or holds anything but names.
    """
    list_field(where, row, key)
    return names_field(where, row, key)


def number_field(where: str, row: Mapping[str, Any], key: str) -> str:
    """An id that is a whole number, as text; public sets name image files after it.

    Raises:
        DatasetError: If it is missing, or not a whole number.
    """
    name = required_name(where, row, key)
    if not (name.isascii() and name.isdecimal()):
        raise wrong(where, key, "a whole number", row[key])
    return name


def list_field(where: str, row: Mapping[str, Any], key: str) -> list[Any]:
    """A list that has to be there, of whatever it is.

    Raises:
        DatasetError: If it is missing, or no list.
    """
    return _required(where, row, key, list, "a list")


def object_field(where: str, row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object that has to be there.

    Raises:
        DatasetError: If it is missing, or something else.
    """
    return _required(where, row, key, dict, "an object")


def flag_field(where: str, row: Mapping[str, Any], key: str, default: bool) -> bool:
    """True or false; words such as "false" are refused, for as a condition they would be true.

    Raises:
        DatasetError: If it is anything else.
    """
    value = row.get(key, default)
    if isinstance(value, bool):
        return value
    raise wrong(where, key, "true or false, without quotes", value)


def objects(where: str, entries: Iterable[object]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries of a list that have to be objects, each with where it is.

    Raises:
        DatasetError: If one is something else.
    """
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DatasetError(f"{where} {number}: must be an object, not {_shown(entry)}")
        yield f"{where} {number}", entry


def wrong(where: str, key: str, expected: str, value: object) -> DatasetError:
    """What to raise for a field of the wrong type."""
    return DatasetError(f"{where}: {key!r} must be {expected}, not {_shown(value)}")


def _required(
    where: str, row: Mapping[str, Any], key: str, kind: type[_Kind], expected: str
) -> _Kind:
    value = row.get(key)
    if value is None:
        raise DatasetError(f"{where}: no {key!r}")
    if not isinstance(value, kind):
        raise wrong(where, key, expected, value)
    return value


def _shown(value: object) -> str:
    """A value as the file spells it: null and true, not None and True."""
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= _MOST_SHOWN else shown[:_MOST_SHOWN] + "..."


def _name(where: str, key: str, expected: str, value: object) -> str:
    # `bool` is an `int` to Python, but nobody calls an image `true`.
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise wrong(where, key, expected, value)
