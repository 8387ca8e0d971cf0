"""The values of a JSON object, checked for their type; messages name the place and the key.

For what a search reads, which loads nothing else for it; everything else has models (`rows`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from composir.data.untrusted_json import MANIFEST_LIMIT, read_json
from composir.errors import ComposirError

_MOST_SHOWN = 40
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object of a JSON file, whose values are of any type until they are asked for.

    Attributes:
        where: The file and the place in it, for messages.
        values: As parsed.
        error: What to raise.
    """

    where: str
    values: Mapping[str, Any]
    error: type[ComposirError]

    def __contains__(self, key: str) -> bool:
        """Whether there is such a key."""
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        """A value of any type that is known to be there."""
        return self.values[key]

    def text(self, key: str) -> str | None:
        """A text; None where there is none, or null."""
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(key, "a string")

    def required_text(self, key: str) -> str:
        """A text that has to be there."""
        return self._there(key, self.text(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts that has to be there."""
        value = self._required(key, list, "a list of texts")
        if not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of texts alone")
        return tuple(value)

    def whole_number(self, key: str, least: int, most: int) -> int:
        """A whole number that has to be there, within bounds, both included."""
        value = self._required(key, int, f"a whole number from {least:,} to {most:,}")
        if isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least:,} to {most:,}")
        return value

    def items(self, key: str) -> list[Any]:
        """A list that has to be there, of whatever it is."""
        return self._required(key, list, "a list")

    def inner(self, key: str) -> JsonObject:
        """An object that has to be there."""
        value = self._required(key, dict, "an object")
        return JsonObject(f"{self.where}, {key}", value, self.error)

    def objects(self, entries: Iterable[object], what: str) -> Iterator[JsonObject]:
        """Entries of a list that have to be objects, each with its number for a place."""
        for number, entry in enumerate(entries):
            yield as_object(f"{self.where}, {what} {number}", entry, self.error)

    def wrong(self, key: str, expected: str) -> ComposirError:
        """What to raise for a value of the wrong type."""
        value = self.values.get(key)
        return self.error(f"{self.where}: {key!r} must be {expected}, not {shown(value)}")

    def _there(self, key: str, value: _Kind | None) -> _Kind:
        if value is None:
            raise self.error(f"{self.where}: no {key!r}")
        return value

    def _required(self, key: str, kind: type[_Kind], expected: str) -> _Kind:
        value = self._there(key, self.values.get(key))
        if not isinstance(value, kind):
            raise self.wrong(key, expected)
        return value


def as_object(where: str, value: object, error: type[ComposirError]) -> JsonObject:
    """A parsed value that has to be an object."""
    if not isinstance(value, dict):
        raise error(f"{where}: must be an object, not {shown(value)}")
    return JsonObject(where, value, error)


def read_object(
    path: Path,
    error: type[ComposirError],
    *,
    limit: int = MANIFEST_LIMIT,
    missing: str = "this file is missing",
    halves: bool = True,
) -> JsonObject:
    """Read a file of one JSON object; see `untrusted_json.read_json`."""
    value = read_json(path, error, dict, limit=limit, missing=missing, halves=halves)
    return JsonObject(str(path), value, error)


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
