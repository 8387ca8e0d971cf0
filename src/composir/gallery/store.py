"""The Lance dataset of a gallery: rows in, rows out, each change one atomic commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.data.outputs import inside
from composir.errors import GalleryError
from composir.gallery import remains, rows
from composir.gallery.disk_errors import VersionGoneError, cause_of, cleared, damaged, is_gone
from composir.gallery.other_models import table_of
from composir.gallery.writing_memory import bounded_session
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

    from composir.gallery.manifest import BundleIdentity

EXACT_LIMIT = 1_000_000
"""Up to so many images, exact search is no slower than the index (approximate_search.py)."""
_CODED_TOGETHER = 8
_IDS_A_PREDICATE = 2048
_SCAN_ROWS = 2048


class Store:
    """The dataset at the version that was newest when it was opened, plus what is written here.

    Only the holder of the index lock calls what writes. All that reads raises `VersionGoneError`
    when another process has cleaned that version away.

    Attributes:
        dataset: The `lance.LanceDataset`, or None before the first index run.
        dimension: Width D of the vectors.
    """

    def __init__(
        self, folder: Path, dimension: int, table: str | None = None, *, writes: bool = False
    ) -> None:
        """Open the newest version of a gallery's table.

        Args:
            folder: The gallery's.
            dimension: Width D of the vectors.
            table: Its name; None for the one in the manifest.
            writes: Whether many commits will follow, so that memory has to be bounded.
        """
        self.folder = folder
        self._session = bounded_session() if writes else None
        self.table = table or table_of(folder)
        self._uri = str(inside(folder, self.table))
        self.dimension = dimension
        self._signature = remains.newest_version(Path(self._uri))
        self.dataset = self._open()

    def _open(self) -> Any:
        import lance

        if self._signature is None:
            if remains.had_table(self.folder, Path(self._uri)):
                raise damaged(self.folder, f"its table {self.table} is gone, or part of it")
            return None  # the first index run has not begun, or was killed at once
        with self._reading():
            return lance.dataset(self._uri, session=self._session)

    @contextmanager
    def _reading(self, where: str | None = None, name: str | None = None) -> Iterator[None]:
        """Tell files of an old version that are gone from damage, and both from a wrong filter.

        Lance reports them as `OSError`, `ValueError` or a panic, depending on the call.

        Args:
            where: A filter that may be at fault.
            name: What is read, for people; None for the table.
        """
        name = name or f"its table {self.table}"
        try:
            yield
        except VersionGoneError:
            raise
        except BaseException as error:
            if is_gone(error, self.table):
                raise VersionGoneError(str(error)) from error
            clear = cleared(error, self.folder, reading=name)
            if clear is None and isinstance(error, ValueError):  # only Lance is called in here
                clear = damaged(self.folder, f"{name} cannot be read ({cause_of(error)})")
            if clear is None or (where is not None and self._is_readable()):
                raise
            raise clear from error

    def _is_readable(self) -> bool:
        """Whether all that filters look at can be read; if so, an error was the filter's."""
        names = [name for name in self.schema.names if name not in {"vector", "thumbnail"}]
        try:
            for _ in self.stream(names):
                pass
        except GalleryError:
            return False
        return True

    def is_current(self) -> bool:
        """Whether no newer version has been committed, and no other dataset put in its place."""
        return remains.newest_version(Path(self._uri)) == self._signature

    @property
    def identity(self) -> str:
        """Of the rows and their order: 16 hexadecimal digits from the names of all their files.

        Lance names every file anew, so another dataset, or the same one on another course, never
        has the same; version and number of rows may well be the same.
        """
        digest = blake2b(digest_size=8)
        for fragment in self._fragments():
            deletions = fragment.deletion_file
            names = [file.path for file in fragment.files]
            names += [deletions.path(fragment.id)] if deletions else []
            digest.update(repr((fragment.id, fragment.physical_rows, names)).encode())
        return digest.hexdigest()

    def _fragments(self) -> list[Any]:
        if self.dataset is None:
            return []
        return [fragment.metadata for fragment in self.dataset.get_fragments()]

    def check_files(self, known: set[str] | None = None) -> None:
        """Check that all columns and files are there, files as long as written, and that they open.

        Better so than to meet damage in the middle of a scan, where Lance may end the process.
        """
        if fault := rows.schema_fault(self.schema, self.dimension):
            raise damaged(self.folder, fault)
        known = set() if known is None else known
        for fragment in self._fragments():
            for file in fragment.files:
                if file.path not in known:
                    self._check_file(f"data/{file.path}", file.file_size_bytes)
                    self._check_opens(f"data/{file.path}")
                    known.add(file.path)
            if fragment.deletion_file:
                self._check_file(fragment.deletion_file.path(fragment.id))
        for index in self.dataset.describe_indices() if self.dataset is not None else ():
            for segment in index.segments:
                self._check_file(f"_indices/{segment.uuid}")

    def _check_file(self, name: str, size: int | None = None) -> None:
        path = Path(self._uri, name)
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise VersionGoneError(f"Not found: {path}") from None
        if size is not None and found != size:
            shown = f"{self.table}/{name}"
            raise damaged(self.folder, f"{shown} has {found:,} bytes, {size:,} were written")

    def _check_opens(self, name: str) -> None:
        from lance.file import LanceFileReader

        with self._reading(name=f"{self.table}/{name}"):
            LanceFileReader(str(Path(self._uri, name)))

    def read_samples(self) -> None:
        """Read one row of each fragment, to see that they can be read."""
        for fragment in self.dataset.get_fragments() if self.dataset is not None else ():
            names = ", ".join(f"{self.table}/data/{f.path}" for f in fragment.metadata.files)
            with self._reading(name=names):
                fragment.head(1)
        with self._reading():
            _ = self.dataset and self.dataset.versions()  # reads all that an index run will read

    def try_index(self) -> None:
        """Ask the index once, where there is one, to see that it can be read."""
        if self.has_index():
            query = np.full(self.dimension, 1.0, dtype=np.float32)
            self.nearest(["id"], {"column": "vector", "q": query, "k": 1, "metric": "cosine"}, None)

    def create(self, identity: BundleIdentity | None = None) -> None:
        """Make the dataset if there is none yet; whose vectors it holds is noted in every file."""
        import lance

        if self.dataset is None:
            schema = rows.schema(self.dimension).with_metadata(remains.identity_note(identity))
            self.dataset = lance.write_dataset(
                schema.empty_table(), self._uri, mode="create", session=self._session
            )

    @property
    def version(self) -> int:
        """Number of the version at hand; 0 before the first index run."""
        return 0 if self.dataset is None else int(self.dataset.version)

    @property
    def schema(self) -> pa.Schema:
        """All columns, own and metadata."""
        return rows.schema(self.dimension) if self.dataset is None else self.dataset.schema

    @property
    def metadata_columns(self) -> list[str]:
        """Names of the columns that came from sidecars."""
        return [
            name
            for name in self.schema.names
            if name not in rows.OWN_COLUMNS and not name.endswith(rows.WIDENED)
        ]

    def __len__(self) -> int:
        """Number of images."""
        with self._reading():
            return 0 if self.dataset is None else int(self.dataset.count_rows())

    def stream(self, columns: Sequence[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in order, a few thousand at a time: memory does not grow with the gallery."""
        if self.dataset is None:
            return
        with self._reading(where):
            yield from self.dataset.scanner(
                columns=list(columns), filter=where, batch_size=_SCAN_ROWS, batch_readahead=2
            ).to_batches()

    def stream_rows(self, columns: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Rows one by one: the path of the file, and the values of some columns by name."""
        for batch in self.stream(list(dict.fromkeys(["path", "path_bytes", *columns]))):
            for row in batch.to_pylist():
                yield rows.decode_path(row["path"], row["path_bytes"]), row

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows at once."""
        if self.dataset is None:
            return self.schema.empty_table().select(list(columns))
        with self._reading():
            return self.dataset.to_table(columns=list(columns))

    def select(self, column: str, values: Iterable[str], columns: Sequence[str]) -> pa.Table:
        """Rows whose `column` is one of these hexadecimal strings."""
        wanted = list(dict.fromkeys(values))
        if self.dataset is None or not wanted:
            return self.schema.empty_table().select(list(columns))
        with self._reading():
            return self.dataset.to_table(columns=list(columns), filter=one_of(column, wanted))

    def take(self, positions: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Rows by their positions in the order of `stream`."""
        if self.dataset is None or not len(positions):
            return self.schema.empty_table().select(list(columns))
        chosen = [int(position) for position in positions]
        with self._reading():
            return self.dataset.take(chosen, columns=list(columns))

    def unit_vectors(self, column: pa.ChunkedArray | pa.Array) -> FloatArray:
        """The vectors of a column, (n, D) float32, without the rounding of their norms."""
        if column.null_count:
            raise damaged(self.folder, f"{column.null_count:,} of its vectors are missing")
        vectors = rows.vectors_of(column, self.dimension)
        wrong = len(column) - int(np.count_nonzero(rows.are_unit(vectors)))
        if wrong:
            raise damaged(self.folder, f"{wrong:,} of its vectors are not of unit length")
        return rows.unit_rows(vectors)

    def nearest(
        self, columns: Sequence[str], nearest: dict[str, Any], where: str | None
    ) -> pa.Table:
        """Rows near a vector by the index, with their `_distance`, of those that pass `where`."""
        with self._reading():
            return self.dataset.to_table(
                columns=[*columns, "_distance"], nearest=nearest, filter=where, prefilter=True
            )

    def append(self, table: pa.Table) -> None:
        """Add rows with new ids; one commit."""
        import lance

        self.dataset = lance.write_dataset(table, self.dataset, mode="append")

    def merge(self, table: pa.Table) -> None:
        """Add rows, or replace those with the same id; one commit."""
        (
            self.dataset.merge_insert("id")
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute(table)
        )

    def update(self, table: pa.Table) -> None:
        """Overwrite some columns of the rows with these ids; one commit."""
        self.dataset.merge_insert("id").when_matched_update_all().execute(table)

    def commit(self, operation: Any, note: Mapping[str, str]) -> None:
        """Make a `lance.LanceOperation` of the version at hand part of the table, one commit.

        The note goes with it, for `has_note`.
        """
        from lance import LanceDataset, Transaction

        transaction = Transaction(self.version, operation, transaction_properties=dict(note))
        self.dataset = LanceDataset.commit(self.dataset, transaction)

    def has_note(self, note: Mapping[str, str]) -> bool:
        """Whether a commit that is still remembered (until `clean`) had this note."""
        past = self.dataset.get_transactions() if self.dataset is not None else []
        return any(one and note.items() <= one.transaction_properties.items() for one in past)

    def drop(self, ids: Iterable[str]) -> None:
        """Remove rows by id."""
        remaining = iter(ids)
        while part := list(islice(remaining, _IDS_A_PREDICATE)):
            self.dataset.delete(one_of("id", part))

    def compact(self, *, purge: bool = False) -> None:
        """Merge the many small pieces of a run; `purge` rewrites every piece with dropped rows."""
        rewritten = {"materialize_deletions_threshold": 0.0} if purge else {}
        self.dataset.optimize.compact_files(**rewritten)

    def has_index(self) -> bool:
        """Whether the vectors have an index."""
        return self.dataset is not None and bool(self.dataset.describe_indices())

    def update_index(self) -> None:
        """Build the index over the vectors, or add to it the rows that it lacks.

        Its codes take eight numbers at a time; vectors of another width are ranked exactly.
        """
        if self.dimension % _CODED_TOGETHER:
            return
        if self.has_index():
            self.dataset.optimize.optimize_indices()
        else:
            self.dataset.create_index("vector", index_type="IVF_RQ", metric="cosine")

    def clean(self) -> None:
        """Remove the files of older versions and of killed runs.

        The caller holds the index lock, so no other writer's unfinished files are in danger; a
        search that is under way on an old version gets `VersionGoneError` and starts over.
        """
        self.dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)


def one_of(column: str, values: Sequence[str]) -> str:
    """The filter of rows whose `column` is one of these hexadecimal strings."""
    if not all(value.isalnum() for value in values):
        raise ValueError(f"not hexadecimal: {values}")  # so nothing here ever needs quoting
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
