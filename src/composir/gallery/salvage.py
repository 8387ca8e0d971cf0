"""Reading what can still be read of a damaged table.

The newest version that opens is read first, fragment by fragment and, where that fails, in ever
smaller ranges; then older versions; then, should rows still be missing, the data files alone, which
carry their own schema. Vectors that cannot be read come from the cached matrix where that was made
of this very version. Every row is checked, and each id is taken once. An old row of a picture that
changed or is gone is harmless, as the next index run compares with the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.errors import GalleryDamagedError, GalleryError
from composir.gallery import remains, rows
from composir.gallery.disk_errors import cleared
from composir.gallery.manifest import BundleIdentity
from composir.gallery.matrix import fits, matrix_path, open_matrix
from composir.gallery.other_models import table_of
from composir.gallery.store import Store
from composir.gallery.verify import sound_rows
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 2048
_SMALLEST = 16  # what is encoded together is lost together: smaller ranges rarely give more


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows of one version's fragment, or of a data file alone."""

    read: Callable[[list[str], int, int], pa.Table]  # some columns of a range: start and size
    metadata: Sequence[str]  # columns beside the own ones
    cached: FloatArray | None = None  # vectors of the rows, for those that cannot be read


class Salvage:
    """What is left of a gallery's table.

    Attributes:
        expected: How many rows there were; None where nothing tells.
        kept: How many have been read so far.
        without_metadata: How many of those lost their metadata.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = folder / table_of(folder)
        self._opened = [found for n in remains.versions(self._table) if (found := self._open(n))]
        self._seen: set[str] = set()
        self.kept = self.without_metadata = 0
        self.expected: int | None = (
            self._tried(self._opened[0].count_rows)
            if self._opened
            else remains.rows_of_matrices(folder) or None
        )
        self.schema = self._schema()
        self._wanted = self._ids()

    @property
    def lost(self) -> int | None:
        """How many rows could not be read, where it is known how many there were."""
        if self._wanted is not None:
            return len(self._wanted - self._seen)
        return None if self.expected is None else max(0, self.expected - self.kept)

    @property
    def dimension(self) -> int | None:
        """Width D of the vectors, where anything tells it."""
        return None if self.schema is None else _dimension_of(self.schema)

    @property
    def identity(self) -> BundleIdentity | None:
        """The bundle that made the vectors, where the table tells it."""
        if self.schema is None or self.dimension is None:
            return None
        return remains.noted_identity(self.schema.metadata, self.dimension)

    @property
    def metadata_fields(self) -> list[pa.Field]:
        """Columns that came from sidecars, with those that a killed run was about to rename."""
        if self.schema is None:
            return []
        names = self.schema.names
        return [
            self.schema.field(name)
            for name in names
            if name not in rows.OWN_COLUMNS
            and not (name.endswith(rows.WIDENED) and name.removesuffix(rows.WIDENED) in names)
        ]

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """All sound rows, each id once."""
        dimension = schema.field("vector").type.list_size
        for source in (self._from_versions, self._from_files):
            for table in source(dimension):
                for batch in _shaped(table, schema).to_batches():
                    fresh = self._fresh(batch, dimension)
                    if len(fresh):
                        self.kept += len(fresh)
                        yield fresh
            if self.lost == 0:
                return

    def _fresh(self, batch: pa.RecordBatch, dimension: int) -> pa.RecordBatch:
        import pyarrow as pa

        sound = sound_rows(batch, dimension)
        chosen = []
        for position, image_id in enumerate(batch["id"].to_pylist()):
            wanted = self._wanted is None or image_id in self._wanted
            if sound[position] and wanted and image_id not in self._seen:
                self._seen.add(image_id)
                chosen.append(position)
        return batch.take(pa.array(chosen, pa.int64()))

    def _open(self, version: int) -> Any:
        import lance

        def opened() -> Any:
            dataset = lance.dataset(str(self._table), version=version)
            if rows.schema_fault(dataset.schema, _dimension_of(dataset.schema) or 0):
                return None
            is_empty = not dataset.get_fragments() and dataset.count_rows()
            return None if is_empty else dataset

        return self._tried(opened)

    def _ids(self) -> set[str] | None:
        """The ids of the newest version that opens, so that dropped rows stay dropped.

        None where they cannot all be read.
        """
        if not self._opened:
            return None
        table = self._tried(lambda: self._opened[0].to_table(columns=["id"]))
        return None if table is None else set(table["id"].to_pylist())

    def _schema(self) -> pa.Schema | None:
        if self._opened:
            return self._opened[0].schema
        for reader in map(self._reader, self._files()):
            if reader is not None:
                return reader.metadata().schema
        return None

    def _from_versions(self, dimension: int) -> Iterator[pa.Table]:
        for number, dataset in enumerate(self._opened):
            if self.lost == 0:
                return
            matrix = self._matrix(dimension) if number == 0 else None
            yield from self._from_version(dataset, matrix)

    def _from_version(self, dataset: Any, matrix: FloatArray | None) -> Iterator[pa.Table]:
        begin = 0
        for fragment in self._tried(dataset.get_fragments) or ():
            count = self._tried(fragment.count_rows)
            if count is None:
                matrix = None  # from here on nobody knows which vector is whose
                continue
            cached = None if matrix is None else matrix[begin : begin + count]
            begin += count
            yield from self._from_fragment(fragment, count, cached)

    def _from_fragment(
        self, fragment: Any, count: int, cached: FloatArray | None
    ) -> Iterator[pa.Table]:
        def read(columns: list[str], start: int, size: int) -> pa.Table:
            return fragment.scanner(columns=columns, offset=start, limit=size).to_table()

        paths = [self._table / "data" / file.path for file in fragment.metadata.files]
        present = {
            name
            for path in paths
            if (reader := self._reader(path)) is not None
            for name in reader.metadata().schema.names
        }
        if not present.issuperset(rows.OWN_COLUMNS):
            return
        names = [field.name for field in self.metadata_fields if field.name in present]
        if len(names) < len(self.metadata_fields):
            self.without_metadata += count
        yield from self._all_of(_Source(read, names, cached), count)

    def _all_of(self, source: _Source, count: int) -> Iterator[pa.Table]:
        for start in range(0, count, _CHUNK):
            yield from self._range(source, start, min(_CHUNK, count - start))

    def _range(self, source: _Source, start: int, size: int) -> Iterator[pa.Table]:
        """Rows of a range, of its halves where it cannot be read, and so on."""
        table = self._read(source, start, size)
        if table is not None:
            yield table
        elif size > _SMALLEST:
            half = size // 2
            yield from self._range(source, start, half)
            yield from self._range(source, start + half, size - half)

    def _read(self, source: _Source, start: int, size: int) -> pa.Table | None:
        """A range with all columns, else with what the cached matrix and the own columns give."""
        own = list(rows.OWN_COLUMNS)
        table = self._tried(lambda: source.read([*own, *source.metadata], start, size))
        if table is None and source.metadata:
            table = self._tried(lambda: source.read(own, start, size))
            self.without_metadata += 0 if table is None else len(table)
        if source.cached is None:
            return table
        if table is None:
            own.remove("vector")
            table = self._tried(lambda: source.read([*own, *source.metadata], start, size))
        if table is None:
            return None
        return _with_vectors(table, source.cached[start : start + size])

    def _matrix(self, dimension: int) -> FloatArray | None:
        """The cached matrix of the newest version, if that is the version that opens."""
        store = self._tried(lambda: Store(self._folder, dimension))
        if store is None:
            return None
        path = matrix_path(store, self._folder)
        return open_matrix(path, store) if fits(path, store) else None

    def _from_files(self, dimension: int) -> Iterator[pa.Table]:
        """Rows of the data files that hold whole rows, the latest file first."""
        for path in self._files():
            reader = self._reader(path)
            if reader is None:
                continue
            schema = reader.metadata().schema
            if rows.schema_fault(schema, dimension):
                continue
            names = [field.name for field in self.metadata_fields if field.name in schema.names]
            yield from self._from_file(reader, names)

    def _from_file(self, reader: Any, metadata: list[str]) -> Iterator[pa.Table]:
        def read(columns: list[str], start: int, size: int) -> pa.Table:
            return reader.read_range(start, size).to_table().select(columns)

        yield from self._all_of(_Source(read, metadata), reader.num_rows())

    def _files(self) -> list[Path]:
        found = (self._table / "data").glob("*.lance")
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _reader(self, path: Path) -> Any:
        from lance.file import LanceFileReader

        def opened() -> Any:
            reader = LanceFileReader(str(path))
            reader.metadata()
            return reader

        return self._tried(opened)

    def _tried(self, read: Callable[[], Any]) -> Any:
        """What reading gives, or None where damage keeps it from being read."""
        try:
            return read()
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # Lance's panics are no `Exception`
            clear = error if isinstance(error, GalleryError) else cleared(error, self._folder)
            if clear is None or isinstance(clear, GalleryDamagedError):
                return None  # whatever it is, it keeps this from being read
            raise clear from error


def _dimension_of(schema: pa.Schema) -> int | None:
    if "vector" not in schema.names:
        return None
    return int(getattr(schema.field("vector").type, "list_size", 0)) or None


def _with_vectors(table: pa.Table, cached: FloatArray) -> pa.Table:
    """A table whose vectors come from the cached matrix where it has none of its own."""
    vectors = np.zeros(cached.shape, dtype=np.float32)
    if "vector" in table.column_names:
        column = table["vector"].combine_chunks()
        there = column.is_valid().to_numpy(zero_copy_only=False)
        vectors[there] = rows.vectors_of(column.drop_null(), cached.shape[1])
        table = table.drop_columns(["vector"])
    # What is no vector there either is told later.
    vectors = np.where(rows.are_unit(vectors)[:, None], vectors, cached)
    return table.append_column("vector", rows.vector_column(vectors))


def _shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of exactly these columns; what is missing or of a type that does not fit is null."""
    import pyarrow as pa

    arrays = []
    for field in schema:
        column = pa.nulls(len(table), field.type)
        if field.name in table.column_names:
            # An older version's column may be of another type.
            with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
                column = table[field.name].cast(field.type)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=schema)
