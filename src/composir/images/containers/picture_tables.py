"""Tables with a picture a row: Parquet, and Arrow files as Hugging Face's `save_to_disk` writes.

A picture is a cell of bytes, a pair of bytes and path (Hugging Face's images), or, in a table that
is named itself, a path. It is called by its row, from 0: `train.parquet/17.png`, or
`train.parquet/17/cat.jpg` where the cell tells a name. Some rows at a time are in memory.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Any

from composir.data.files import check_regular, read_regular
from composir.data.object_store import check_address, name_in_store, read_object
from composir.data.remote_paths import RemotePath, is_remote
from composir.data.tables import arrow_columns, key_column
from composir.data.untrusted_json import decode_json
from composir.errors import ObjectStoreError, first_line
from composir.images.containers import Facts, Member, Tell, open_found
from composir.images.formats import FORMATS, HEAD_BYTES
from composir.images.scan import FoundFile
from composir.references import LARGEST_FILE

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_ROWS, _BYTES_AT_ONCE = 32, 1 << 23
_WINDOWS_KEPT, _BYTES_KEPT = 16, 1 << 27
_BYTES_AHEAD = 1 << 20
_ROWS_OF_FACTS = 1024
_UNASKED = -1  # the size of a picture that somebody wants to see again
_BYTES, _TEXTS = {"binary", "large_binary"}, {"string", "large_string"}


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows that follow each other."""

    first: int
    rows: pa.RecordBatch


class PictureTable:
    """One table."""

    def __init__(self, file: FoundFile) -> None:
        """Take it as it was found; it is opened when it is asked."""
        self._file = file
        self._lock = Lock()
        self._recent: deque[_Window] = deque(maxlen=_WINDOWS_KEPT)
        self._walk: Iterator[_Window] = iter(())
        self._next = sys.maxsize  # row; before any is read, all lie behind

    def members(self) -> Iterator[Member]:
        """A picture a row; the table itself, where it holds none and was not named."""
        if self._column is None:
            yield Member(self._file.path.name, 0, 0, "other")
            return
        for window in self._windows([self._column]):
            for row, (path, size, head) in enumerate(_heads(window), window.first):
                yield self._member(row, path, size, head)

    def find(self, name: str) -> Member:
        """The picture of a name."""
        row = re.match(r"\d{1,18}(?=[./]|\Z)", name)
        if row is None:
            raise self._missing()
        return Member(name, int(row[0]), _UNASKED)

    def read(self, member: Member) -> bytes:
        """The content of a row's picture."""
        with self._lock, _sound():
            window = self._window_of(member.begin)
            cell = window.rows.column(0)[member.begin - window.first].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        path = cell.get("path") if isinstance(cell, dict) else None
        if isinstance(content, bytes):
            return content
        place = self._place_of(str(content or path or ""))
        if is_remote(place) and member.size == _UNASKED:
            raise OSError(errno.EACCES, "it lies in an object store, which only an index run asks")
        if is_remote(place):
            bucket = place.parents[-3]  # behind it the scheme, and nothing
            return read_object(place, LARGEST_FILE, bucket, exact=False)
        return read_regular(place, limit=LARGEST_FILE)

    def facts(self, members: Iterable[Member], tell: Tell) -> Iterator[Facts]:
        """Each picture's name, and what the other columns say, but for bytes."""
        del tell
        names = {one.begin: one.name for one in members if one.kind == "picture" and not one.fault}
        # Bytes are no metadata, wherever they are in a column.
        others = [one.name for one in self._schema if "binary" not in str(one.type)]
        labels = _labels(self._schema)
        for window in self._windows(others, _ROWS_OF_FACTS) if others else ():
            columns = arrow_columns(self._file.path, window.rows)
            for name in labels.keys() & columns.keys():
                columns[name] = [labels[name].get(str(one), one) for one in columns[name]]
            for offset in range(len(window.rows)):
                if window.first + offset in names:
                    said = {name: values[offset] for name, values in columns.items()}
                    yield names[window.first + offset], said

    def _member(self, row: int, path: str | None, size: int | None, head: bytes) -> Member:
        name = PurePosixPath((path or "").replace("\\", "/")).name
        if size is None and not path:
            return Member(f"{row}.null", row, 0, "other")
        if size is None:
            try:
                place = self._place_of(path or "")
                size = 0 if is_remote(place) else place.stat().st_size
            except OSError as error:
                return Member(f"{row}/{name}", row, 0, fault=f"{path}: {error.strerror}")
        if name and name != ".." and "\0" not in name:
            return Member(f"{row}/{name}", row, size)
        known = (one.suffixes[0] for one in FORMATS if one.matches(head))
        return Member(f"{row}{next(known, '')}", row, size)

    def _place_of(self, text: str) -> Path:
        """The file that a cell names; of tables that were only met, none but those beside them."""
        folder, is_named = self._file.path.parent, self._file.path == self._file.root
        if "\0" in text or not text:
            raise OSError(errno.ENOENT, "no picture in this row")
        if is_remote(text) and is_named:
            address = RemotePath(text)
            try:
                check_address(address)
                name_in_store(address)  # refuses what is no store
            except ObjectStoreError as error:
                raise OSError(errno.EINVAL, str(error)) from error
            return address
        is_beside = not Path(text).is_absolute() and ".." not in Path(text).parts
        if not is_beside and (is_remote(folder) or not is_named):
            raise OSError(errno.EACCES, "a path that leads out of the table's folder")
        return folder / text

    @cached_property
    def _schema(self) -> pa.Schema:
        with _sound(), _opened(self._file) as rows:
            return rows.schema

    @cached_property
    def _column(self) -> str | None:
        """The column of pictures."""
        with _sound():  # names may be no text
            names = list[str](self._schema.names)
            fit = [n for n, one in zip(names, self._schema, strict=True) if _may_be_picture(one)]
        for name in fit:
            window = next(self._windows([name]), None)
            if window is not None and any(map(_is_picture, _heads(window))):
                return name
        if self._file.path != self._file.root:
            return None
        name = key_column(names) or ""
        if name and str(self._schema.field(name).type) in _TEXTS:
            return name
        told = f"no column of pictures, and none of paths; it has {', '.join(names)}"
        raise OSError(errno.EINVAL, told)

    def _windows(
        self, columns: Sequence[str], most: int = _MOST_ROWS, row: int = 0
    ) -> Iterator[_Window]:
        """The table in order, from some row on or somewhat before."""
        with _sound(), _opened(self._file) as rows:
            yield from rows.windows(row, columns, most)

    def _window_of(self, row: int) -> _Window:
        """The rows around one: mostly of those just read, or the next."""
        found = next((w for w in self._recent if w.first <= row < w.first + len(w.rows)), None)
        if found is not None:
            return found
        if self._column is None:
            raise self._missing()
        if not self._next <= row <= self._next + 8 * _MOST_ROWS:
            self._walk = self._windows([self._column], row=row)
        for window in self._walk:
            self._recent.append(window)
            self._next = window.first + len(window.rows)
            while len(self._recent) > 1 and sum(w.rows.nbytes for w in self._recent) > _BYTES_KEPT:
                self._recent.popleft()
            if self._next > row:
                return window
        raise self._missing()

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, f"{self._file.path.name} has no such row")


class _Parquet:
    def __init__(self, stream: Any) -> None:
        from pyarrow.parquet import ParquetFile

        # Nothing is read ahead: that takes whole row groups, by threads that outlive the reader.
        self._table = ParquetFile(stream, buffer_size=_BYTES_AHEAD, pre_buffer=False)
        self.schema = self._table.schema_arrow

    def windows(self, row: int, columns: Sequence[str], most: int) -> Iterator[_Window]:
        first, metadata = 0, self._table.metadata
        for group in range(metadata.num_row_groups):
            held = metadata.row_group(group)
            if first + held.num_rows <= row:
                first += held.num_rows
                continue
            each = max(1, held.total_byte_size // max(1, held.num_rows))
            count = max(1, min(most, _BYTES_AT_ONCE // each))
            part = {"row_groups": [group], "columns": list(columns), "use_threads": False}
            for batch in self._table.iter_batches(count, **part):
                yield _Window(first, batch)
                first += len(batch)


class _ArrowFile:
    def __init__(self, stream: Any) -> None:
        from pyarrow import ipc

        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        self._table = ipc.open_file(stream) if is_file else ipc.open_stream(stream)
        self._is_file = is_file
        self.schema = self._table.schema

    def windows(self, row: int, columns: Sequence[str], most: int) -> Iterator[_Window]:
        first, table = 0, self._table
        numbers = range(table.num_record_batches) if self._is_file else ()
        for batch in map(table.get_batch, numbers) if self._is_file else table:
            chosen = batch.select(list(columns))
            chosen.validate(full=True)  # else a damaged file may have it read anywhere
            for start in range(0, len(chosen), most):
                if first + start + most > row:
                    yield _Window(first + start, chosen.slice(start, most))
            first += len(chosen)


@contextmanager
def _opened(file: FoundFile) -> Iterator[_Parquet | _ArrowFile]:
    import pyarrow as pa

    with ExitStack() as stack:
        if is_remote(file.path):
            stream = stack.enter_context(open_found(file))
        else:
            check_regular(file.path)
            stream = stack.enter_context(pa.OSFile(os.fsencode(file.path)))
        is_parquet = file.path.suffix.lower() == ".parquet"
        yield _Parquet(stream) if is_parquet else _ArrowFile(stream)


@contextmanager
def _sound() -> Iterator[None]:
    """Tell what Arrow raises of a damaged table in a line."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the system's, or our own
        why = f"it is no readable table, or damaged: {first_line(error)[:200]}"
        raise OSError(errno.EIO, why) from error


def _heads(window: _Window) -> Iterator[tuple[str | None, int | None, bytes]]:
    """Of each cell the path that it tells, the length of its bytes, and the first of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = window.rows.column(0)
    paths: list[str | None] = [None] * len(column)
    with _sound():
        if pa.types.is_struct(column.type):
            if column.type.get_field_index("path") >= 0:
                paths = pc.struct_field(column, "path").to_pylist()
            column = pc.struct_field(column, "bytes")
        if str(column.type) in _TEXTS:
            paths, column = column.to_pylist(), pa.nulls(len(column), pa.binary())
        heads = pc.binary_slice(column.cast(pa.large_binary()), 0, HEAD_BYTES).to_pylist()
        sizes = pc.binary_length(column).to_pylist()
    return zip(paths, sizes, [head or b"" for head in heads], strict=True)


def _is_picture(cell: tuple[str | None, int | None, bytes]) -> bool:
    path, size, head = cell
    return any(one.matches(head) for one in FORMATS) or (size is None and path is not None)


def _may_be_picture(column: pa.Field) -> bool:
    """Whether a column is of bytes, or of Hugging Face's images."""
    kind = column.type
    is_struct = str(kind).startswith("struct")
    parts = {one.name: str(one.type) for one in kind} if is_struct else {"bytes": str(kind)}
    return parts.get("bytes") in _BYTES


def _labels(schema: pa.Schema) -> dict[str, dict[str, object]]:
    """The names of the classes that Hugging Face's columns number."""
    try:
        told = decode_json((schema.metadata or {})[b"huggingface"].decode())["info"]["features"]
        named = {name: one["names"] for name, one in told.items() if "names" in one}
        return {name: {str(n): one for n, one in enumerate(ns)} for name, ns in named.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
