"""Parquet tables that somebody else may have written: what they unpack to is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.files import open_regular
from composir.errors import ComposirError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

MOST_ROWS = 50_000_000
MOST_COLUMNS = 10_000
MOST_TABLE = 1 << 31
"""Bytes of a table in memory; a value that repeats takes next to nothing in the file."""
_ROWS_AT_ONCE = 4096


def column_names(path: Path, error: type[ComposirError]) -> list[str]:
    """Names of a Parquet file's columns."""
    with _opened(path, error) as table:
        return list(table.schema_arrow.names)


def read_table(
    path: Path, error: type[ComposirError], columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a Parquet file."""
    with _opened(path, error) as table:
        return _bounded(path, table, error, columns)


@contextmanager
def _opened(path: Path, error: type[ComposirError]) -> Iterator[ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as file, pq.ParquetFile(file) as table:
            yield table
    except pa.ArrowException as fault:
        raise error(f"{path} is no readable Parquet table: {fault}") from fault
    except OSError as fault:
        raise error(f"{path} cannot be read ({fault.strerror or fault})") from fault


def _bounded(
    path: Path, table: ParquetFile, error: type[ComposirError], columns: Sequence[str] | None
) -> pa.Table:
    import pyarrow as pa

    held = table.metadata
    if held.num_rows > MOST_ROWS or held.num_columns > MOST_COLUMNS:
        raise error(
            f"{path}: {held.num_rows:,} rows and {held.num_columns:,} columns; at most "
            f"{MOST_ROWS:,} and {MOST_COLUMNS:,} are read"
        )
    batches, total = [], 0
    for batch in table.iter_batches(_ROWS_AT_ONCE, columns=columns):
        total += batch.nbytes
        if total > MOST_TABLE:
            raise error(f"{path}: unpacks to more than {MOST_TABLE >> 30} GiB; split it")
        batches.append(batch)
    schema = table.schema_arrow
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    return pa.Table.from_batches(batches, schema)
