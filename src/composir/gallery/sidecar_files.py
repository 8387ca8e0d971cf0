"""The three kinds of metadata file as raw columns; `sidecar` gives them types and keys."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from composir.errors import DatasetError


@dataclass(frozen=True, slots=True)
class RawTable:
    """Columns as the file has them.

    Attributes:
        columns: Values by column name as spelled; all of one length.
        lines: For each row, its line in the file (its number, from 1, in Parquet).
        is_text: Whether all values are strings whose meaning is still to be found.
    """

    columns: dict[str, Sequence[object]]
    lines: Sequence[int]
    is_text: bool


def read_csv(path: Path) -> RawTable:
    """Read a CSV or TSV file with a header line."""
    with path.open(encoding=_encoding(path), newline="") as stream:
        try:
            return _csv_table(path, stream)
        except UnicodeDecodeError as error:
            raise _not_unicode(path, error) from error


def _csv_table(path: Path, stream: Iterable[str]) -> RawTable:
    lines = iter(stream)
    header_line = next(lines, "")
    if not header_line.strip():
        raise DatasetError(f"{path} is empty: its first line must name the columns")
    delimiter = max(",;\t", key=header_line.count)
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter))]
    _refuse_twins(path, header)
    rows, numbers = [], []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for number, row in _numbered(path, reader):
        if len(row) != len(header):
            raise DatasetError(
                f"{path}:{number}: {len(row)} cells, but the header names {len(header)} columns"
            )
        rows.append(row)
        numbers.append(number)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return RawTable(dict(columns), numbers, is_text=True)


def _numbered(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each begins in, blank lines left out."""
    number = 2
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatasetError(f"{path}:{number}: not a row of CSV: {error}") from error
        if row:
            yield number, row
        number = reader.line_num + 2  # type: ignore[attr-defined]


def read_jsonl(path: Path) -> RawTable:
    """Read a file with one JSON object a line."""
    rows: list[dict[str, object]] = []
    numbers: list[int] = []
    with path.open(encoding=_encoding(path)) as stream:
        try:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    rows.append(_json_row(path, number, line))
                    numbers.append(number)
        except UnicodeDecodeError as error:
            raise _not_unicode(path, error) from error
    names = dict.fromkeys(name for row in rows for name in row)
    if not names:
        raise DatasetError(f"{path} is empty: it must hold one JSON object a line")
    return RawTable({name: [row.get(name) for row in rows] for name in names}, numbers, False)


def _json_row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DatasetError(f'{path}:{number}: must be a JSON object, like {{"file": "a.jpg"}}')
    return row


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise DatasetError(f"cannot read metadata from {path}: {error}") from error
    _refuse_twins(path, table.column_names)
    columns: dict[str, Sequence[object]] = {
        name: [_simple(value) for value in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return RawTable(columns, range(1, table.num_rows + 1), is_text=False)


def _simple(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    isoformat = getattr(value, "isoformat", None)  # dates and times
    return isoformat() if isoformat else value


def _refuse_twins(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DatasetError(f"{path}: two columns are called {name!r}; rename one")


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        mark = stream.read(2)
    return "utf-16" if mark in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"


def _not_unicode(path: Path, error: UnicodeDecodeError) -> DatasetError:
    return DatasetError(
        f"{path} is not UTF-8 text (byte {error.object[error.start]:#04x}: {error.reason}); "
        "save it as UTF-8"
    )
