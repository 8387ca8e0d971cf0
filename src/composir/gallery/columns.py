"""What a gallery can be filtered by: the names of its columns and the kinds of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from composir.errors import FilterError
from composir.gallery.expressions import Column, Kind
from composir.gallery.rows import INTERNAL_COLUMNS, OWN_COLUMNS, WIDENED

if TYPE_CHECKING:
    import pyarrow as pa

PLURALS = {
    Kind.TEXT: "text",
    Kind.NUMBER: "numbers",
    Kind.DATE: "dates",
    Kind.TRUTH: "true or false",
}
"""Kinds as a column has them."""

_PREFIXES = {
    "bool": Kind.TRUTH,
    "date": Kind.DATE,
    "timestamp": Kind.DATE,
    "int": Kind.NUMBER,
    "uint": Kind.NUMBER,
    "halffloat": Kind.NUMBER,
    "float": Kind.NUMBER,
    "double": Kind.NUMBER,
    "string": Kind.TEXT,
    "large_string": Kind.TEXT,
}


def column_kinds(schema: pa.Schema) -> dict[str, Kind]:
    """Kinds of the columns that people may see and filter by."""
    kinds = {
        field.name: _kind_of(str(field.type))
        for field in schema
        if field.name not in INTERNAL_COLUMNS
        and not field.name.endswith(WIDENED)
        and "`" not in field.name
    }
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _kind_of(arrow_type: str) -> Kind | None:
    return next((k for prefix, k in _PREFIXES.items() if arrow_type.startswith(prefix)), None)


class Columns:
    """The columns of a gallery, to be looked up by a filter."""

    def __init__(self, kinds: Mapping[str, Kind], example: Callable[[str], str | None]) -> None:
        """Know the columns."""
        self.kinds, self._example = kinds, example

    def find(self, name: str) -> Column:
        """The column of a name, upper and lower case alike."""
        if name not in self.kinds:
            alike = [known for known in self.kinds if known.casefold() == name.casefold()]
            if len(alike) != 1:
                raise FilterError(f"no column {name!r}{self._suggestion(name)}")
            name = alike[0]
        return Column(name, self.kinds[name])

    def example(self, column: Column) -> str | None:
        """Some value that a column of text has."""
        return self._example(column.name)

    def listed(self) -> str:
        """All of them with their kinds, e.g. `width (numbers), colour (text)`."""
        return ", ".join(f"{_shown(name)} ({PLURALS[kind]})" for name, kind in self.kinds.items())

    def _suggestion(self, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name.casefold(), list(self.kinds), n=1, cutoff=0.7)
        return f": did you mean {_shown(near[0])}" if near else ""


def is_metadata(column: Column) -> bool:
    """Whether a column came from a metadata file."""
    return column.name not in OWN_COLUMNS


def _shown(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"
