"""Metadata from a file beside the pictures: a table with one row a picture.

- **Formats**: CSV (`,`, `;` or tab, whichever the header holds most of; UTF-8 or UTF-16), JSONL
  and Parquet, by the file's ending.
- **Key**: the first of `KEY_COLUMNS` (`data.tables`) there is, upper and lower case alike. A row
  belongs to the file whose absolute path, or path relative to the root, it names. A row that leads
  to no file in this way belongs to files by base name, or by base name without ending, provided
  that no other row has the same one.
- **Columns**: names become lower case with `_` for everything that is no letter or digit, so that
  `where` takes them unquoted; a name that the gallery itself uses gets the prefix `meta_` (`id` ->
  `meta_id`). Each column has one type, which `column_types` finds in text cells or the user says.
  Where values differ in type the column is of strings; nested values become JSON; empty cells are
  None. Whole numbers with leading zeros, and those beyond 64 bits, are strings, for they are names
  rather than quantities.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from composir.data.remote_paths import is_remote
from composir.data.tables import KEY_COLUMNS, MOST_CELLS, Table, key_column, read_table
from composir.errors import DatasetError
from composir.gallery.column_types import (
    COLUMN_TYPES,
    ColumnReading,
    Kind,
    Value,
    read_as,
    read_iso_dates,
    read_texts,
)
from composir.gallery.rows import OWN_COLUMNS, WIDENED
from composir.images.containers import Facts

RESERVED_COLUMNS = frozenset(OWN_COLUMNS) | {"root", "format", "rank", "score", "duplicates"}
"""Names that the gallery or a search result uses itself."""

_AMBIGUOUS = -1


class SidecarTable:
    """The rows of a metadata file, ready to be looked up.

    Attributes:
        path: Where it was read from.
        key_column: The column that names the pictures, as the file spells it.
        columns: Type of each other column by its normalised name, in the file's order.
        told: How each of them was read, for people.
    """

    def __init__(
        self, path: Path, key_column: str, keys: list[str], columns: Mapping[str, ColumnReading]
    ) -> None:
        """Index rows by key; the keys are normalised and differ from each other."""
        self.path = path
        self.key_column = key_column
        self.columns: dict[str, Kind] = {name: one.kind for name, one in columns.items()}
        self.told = {name: one.told for name, one in columns.items()}
        self._values = {name: one.values for name, one in columns.items()}
        self._keys = keys
        self._rows = {key: row for row, key in enumerate(keys)}
        self._rows_by_name = _by_name(keys)
        self._is_matched = bytearray(len(keys))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._keys)

    def holds(self, name: str) -> bool:
        """Whether any row has a value in this column."""
        return any(value is not None for value in self._values[name])

    def for_file(self, path: Path, root: Path) -> dict[str, Value]:
        """Metadata of one file by column; all None where no row belongs to it."""
        row = self._find(path, root if root != path else path.parent)
        if row is None:
            return dict.fromkeys(self._values)
        return {name: values[row] for name, values in self._values.items()}

    def note(self, path: Path, root: Path) -> None:
        """Remember that there is this file, for `unmatched`; arguments as in `for_file`."""
        row = self._find(path, root if root != path else path.parent)
        if row is not None:
            self._is_matched[row] = 1

    def unmatched(self) -> tuple[str, ...]:
        """Keys of the rows that belong to none of the files noted so far."""
        return tuple(
            key for key, matched in zip(self._keys, self._is_matched, strict=True) if not matched
        )

    def check_matched(self) -> tuple[str, ...]:
        """The unmatched rows; nothing shall be replaced where that is all of them, or none is."""
        unmatched = self.unmatched()
        if not len(self):
            raise DatasetError(
                f"{self.path} has no rows: nothing to replace the metadata with. The gallery stays "
                "as it was"
            )
        if len(unmatched) == len(self):
            raise DatasetError(
                f"none of the {len(self):,} rows of {self.path} is for a picture in the folders "
                f"to index: its column {self.key_column!r} says, e.g., {unmatched[0]!r}; name "
                "files as they lie below those folders. The gallery stays as it was"
            )
        return unmatched

    def _find(self, path: Path, root: Path) -> int | None:
        row = self._rows.get(_key(str(path)))
        if row is None and path.is_relative_to(root):
            row = self._rows.get(_key(str(path.relative_to(root))))
        if row is not None or is_remote(path):  # by its name alone only where one can look
            return row
        for name in (path.name, path.stem):
            row = self._rows_by_name.get(_key(name), _AMBIGUOUS)
            if row != _AMBIGUOUS and not os.path.lexists(root / self._keys[row]):
                return row
        return None


def read_metadata(path: Path, types: Mapping[str, str] | None = None) -> SidecarTable:
    """Read a metadata file."""
    _check_types(types or {})
    raw = read_table(path)
    key = _key_column(path, list(raw.columns))
    keys = _check_keys(path, raw, key)
    return SidecarTable(path, key, keys, _typed(path, raw, key, types or {}))


def facts_of(path: Path, facts: Sequence[Facts]) -> SidecarTable:
    """Metadata that came in a container, at `path`, with pictures: their addresses and values."""
    names = dict.fromkeys(name for _, said in facts for name in said)
    if len(names) * len(facts) > MOST_CELLS:
        raise DatasetError(f"{path}: {len(names):,} columns for {len(facts):,} pictures")
    columns = {name: [said.get(name) for _, said in facts] for name in names}
    raw = Table(dict(columns), range(1, len(facts) + 1), is_text=False)
    return SidecarTable(path, "", [_key(one) for one, _ in facts], _typed(path, raw, "", {}))


def _key_column(path: Path, names: list[str]) -> str:
    found = key_column(names)
    if found is not None:
        return found
    raise DatasetError(
        f"{path} does not say which picture a row is for: it needs a column named "
        f"{', '.join(KEY_COLUMNS[:-1])} or {KEY_COLUMNS[-1]}; it has {', '.join(names) or 'none'}"
    )


def _check_keys(path: Path, raw: Table, key_column: str) -> list[str]:
    first_lines: dict[str, int] = {}
    for value, line in zip(raw.columns[key_column], raw.lines, strict=True):
        if value is None or isinstance(value, (list, dict)) or not str(value).strip():
            raise DatasetError(f"{path}:{line}: no picture is named in column {key_column!r}")
        key = _key(str(value).strip())
        if key in first_lines:
            raise DatasetError(
                f"{path}:{line}: {value!r} is named a second time (first in line "
                f"{first_lines[key]}); keep one row for each picture"
            )
        first_lines[key] = line
    return list(first_lines)


def _key(text: str) -> str:
    """Paths compare equal over systems: `/` only, composed letters, no leading `./`."""
    text = unicodedata.normalize("NFC", text.replace("\\", "/"))
    return re.sub(r"^(\./+)+", "", text)


def _by_name(keys: list[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, key in enumerate(keys):
        name = key.rsplit("/", 1)[-1]
        rows[name] = _AMBIGUOUS if name in rows else row
    return rows


def _check_types(types: Mapping[str, str]) -> None:
    for name, wanted in types.items():
        if wanted not in COLUMN_TYPES:
            raise DatasetError(
                f"the type {wanted!r} of column {name!r} is none of {', '.join(COLUMN_TYPES)}"
            )


def _typed(
    path: Path, raw: Table, key_column: str, types: Mapping[str, str]
) -> dict[str, ColumnReading]:
    columns: dict[str, ColumnReading] = {}
    spelled: dict[str, str] = {}
    said = dict(types)
    for name, values in raw.columns.items():
        if name == key_column:
            continue
        normal = _column_name(path, name)
        if normal in spelled:
            raise DatasetError(
                f"{path}: columns {spelled[normal]!r} and {name!r} would both be called "
                f"{normal!r}; rename one"
            )
        spelled[normal] = name
        wanted = said.pop(normal, None)
        wanted = said.pop(name, wanted)
        columns[normal] = _read_column(path, normal, values, raw, wanted)
    if said:
        raise DatasetError(
            f"{path} has no column {next(iter(said))!r} to give a type; it has "
            f"{', '.join(columns) or 'none but that of the names'}"
        )
    return columns


def _column_name(path: Path, name: str) -> str:
    normal = re.sub(r"\W+", "_", unicodedata.normalize("NFC", name).lower()).strip("_")
    normal = normal.replace(WIDENED, "_widened")  # the gallery's own name for a column on its way
    if not normal:
        raise DatasetError(f"{path}: a column has no name (or none of letters): {name!r}")
    return f"meta_{normal}" if normal in RESERVED_COLUMNS or normal[0].isdigit() else normal


def _read_column(
    path: Path, name: str, values: Sequence[object], raw: Table, wanted: str | None
) -> ColumnReading:
    """One type for a whole column: said, or found in text cells, or as the file itself has it."""
    if wanted is not None:
        texts = ["" if (value := _plain(one)) is None else _as_text(value) for one in values]
        where = f"{path}, column {name!r}"
        return read_as(wanted, where, raw.lines, [text.strip() for text in texts])
    if raw.is_text:
        return read_texts(name, ["" if one is None else str(one).strip() for one in values])
    return _unify([_plain(value) for value in values])


def _unify(values: Sequence[object]) -> ColumnReading:
    """The type that JSON or Parquet values have; text where they differ."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return ColumnReading(
            bool, [None if v is None else bool(v) for v in values], "true or false"
        )
    fits = all(-(2**63) <= value < 2**63 for value in values if isinstance(value, int))
    if kinds == {int} and fits:
        return ColumnReading(
            int, [v if isinstance(v, int) else None for v in values], "whole numbers"
        )
    if kinds <= {int, float} and float in kinds and fits:
        floats = [float(v) if isinstance(v, (int, float)) else None for v in values]
        return ColumnReading(float, floats, "numbers")
    texts = [None if value is None else _as_text(value) for value in values]
    dates = read_iso_dates([text or "" for text in texts]) if kinds == {str} else None
    return dates or ColumnReading(str, texts, "text")


def _plain(value: object) -> object:
    """A value as bool, int, float, str or None."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value if value != "" else None
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
