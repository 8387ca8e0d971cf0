"""Tables of people: CSV, JSONL and Parquet as columns, with the line that each row stands in."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composir.data.files import open_regular
from composir.data.parquet import read_table as read_arrow
from composir.data.untrusted_json import LINES_LIMIT, MOST_LINE, JsonFaultError, decode_json
from composir.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

KEY_COLUMNS = (
    "file",
    "path",
    "file_path",
    "filepath",
    "file_name",
    "filename",
    "image",
    "image_path",
    "image_file",
    "image_name",
    "img",
    "id",
    "image_id",
    "name",
)
"""Names under which the column that names pictures is looked for, first come, first served."""

MOST_CELLS = 200_000_000
"""Of one table."""
_UNREADABLE = (ValueError, OverflowError, KeyError)
"""What Arrow raises of dates beyond the calendar, bytes that are no text, unknown time zones."""
# Not those that stand for bytes of a file name that is no UTF-8: by them a row finds its picture.
_SURROGATES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Table:
    """Columns as a file has them.

    Attributes:
        columns: Values by column name as spelled; all of one length.
        lines: For each row, its line in the file (its number, from 1, in Parquet).
        is_text: Whether all values are strings whose meaning is still to be found.
    """

    columns: dict[str, Sequence[object]]
    lines: Sequence[int]
    is_text: bool


def read_table(path: Path) -> Table:
    """Read a table by its ending: `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.parquet`."""
    readers = {".csv": read_csv, ".tsv": read_csv, ".jsonl": read_jsonl, ".ndjson": read_jsonl}
    readers[".parquet"] = read_parquet
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: the name of a table must end in one of {', '.join(readers)}")
    try:
        return reader(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error


def key_column(names: Sequence[str]) -> str | None:
    """The first of `KEY_COLUMNS` among the names of a table's columns, as the table spells it."""
    spelled = {name.strip().casefold().replace(" ", "_"): name for name in reversed(names)}
    return next((spelled[known] for known in KEY_COLUMNS if known in spelled), None)


def read_csv(path: Path) -> Table:
    """Read a CSV or TSV file with a header line."""
    with _opened(path, newline="") as stream:
        try:
            return _csv_table(path, stream)
        except UnicodeDecodeError as error:
            raise _not_unicode(path, error) from error


def _csv_table(path: Path, stream: Iterable[str]) -> Table:
    lines = iter(stream)
    header_line = next(lines, "")
    if not header_line.strip():
        raise DatasetError(f"{path} is empty: its first line must name the columns")
    delimiter = max(",;\t", key=header_line.count)
    try:
        names = next(csv.reader([header_line], delimiter=delimiter))
    except csv.Error as error:
        raise DatasetError(f"{path}:1: not a row of CSV: {error}") from error
    header = [name.strip() for name in names]
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
    return Table(dict(columns), numbers, is_text=True)


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


def read_jsonl(path: Path) -> Table:
    """Read a file with one JSON object a line."""
    rows: list[dict[str, object]] = []
    numbers: list[int] = []
    with _opened(path) as stream:
        try:
            for number, line in enumerate(iter(lambda: stream.readline(MOST_LINE + 1), ""), 1):
                if len(line) > MOST_LINE:
                    raise DatasetError(f"{path}:{number}: more than {MOST_LINE:,} characters")
                if line.strip():
                    rows.append(_json_row(path, number, line))
                    numbers.append(number)
        except UnicodeDecodeError as error:
            raise _not_unicode(path, error) from error
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) * len(rows) > MOST_CELLS:
        raise DatasetError(
            f"{path}: {len(names):,} names in {len(rows):,} rows make more cells than can be kept "
            f"({MOST_CELLS:,}): use one name for what is one column"
        )
    if not names:
        raise DatasetError(f"{path} is empty: it must hold one JSON object a line")
    return Table({name: [row.get(name) for row in rows] for name in names}, numbers, False)


def _json_row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = decode_json(line, lenient=True)
    except JsonFaultError as fault:
        raise DatasetError(f"{path}:{number}: {fault.reason}") from fault
    if not isinstance(row, dict):
        raise DatasetError(f'{path}:{number}: must be a JSON object, like {{"file": "a.jpg"}}')
    sound: dict[str, object] = mended(row) if _ESCAPED_HALF.search(line) else row
    return sound


def mended(value: Any) -> Any:
    """A value of JSON with halves of surrogate pairs replaced: they are no text to be stored."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, dict):
        return {mended(name): mended(item) for name, item in value.items()}
    return value


def read_parquet(path: Path) -> Table:
    """Read a Parquet file."""
    table = read_arrow(path, DatasetError)
    return Table(arrow_columns(path, table), range(1, table.num_rows + 1), is_text=False)


def arrow_columns(path: Path, table: pa.Table | pa.RecordBatch) -> dict[str, Sequence[object]]:
    """The columns of an Arrow table that was read from `path`, as values of Python and JSON."""
    _refuse_twins(path, table.schema.names)
    return {
        name: _values(path, name, column)
        for name, column in zip(table.schema.names, table.columns, strict=True)
    }


def _values(path: Path, name: str, column: Any) -> Sequence[object]:
    column = _in_microseconds(column)
    try:
        return [_simple(value) for value in column.to_pylist()]
    except _UNREADABLE:
        return [_value(path, name, row, scalar) for row, scalar in enumerate(column, 1)]


def _value(path: Path, name: str, row: int, scalar: Any) -> object:
    try:
        return _simple(scalar.as_py())
    except _UNREADABLE as error:
        raise DatasetError(
            f"{path}:{row}: the value in column {name!r} cannot be read as {scalar.type} "
            f"({error}); write it as a string"
        ) from error


def _in_microseconds(column: Any) -> Any:
    """Times of nanoseconds, which pandas writes, as the finest that Python's own times hold."""
    import pyarrow as pa

    kind = column.type
    if getattr(kind, "unit", None) != "ns":
        return column
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    wider = pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")
    return column.cast(wider, safe=False)


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


@contextmanager
def _opened(path: Path, newline: str | None = None) -> Iterator[TextIOWrapper]:
    with open_regular(path, limit=LINES_LIMIT) as file:
        marked = file.read(2) in {b"\xff\xfe", b"\xfe\xff"}
        file.seek(0)
        encoding = "utf-16" if marked else "utf-8-sig"
        with TextIOWrapper(file, encoding=encoding, newline=newline) as text:
            yield text


def _not_unicode(path: Path, error: UnicodeDecodeError) -> DatasetError:
    return DatasetError(
        f"{path} is not UTF-8 text (byte {error.object[error.start]:#04x}: {error.reason}); "
        "save it as UTF-8"
    )
