"""The Lance dataset of a gallery: rows in, rows out, each change one atomic commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composir.data.outputs import inside
from composir.errors import GalleryError
from composir.gallery import rows

if TYPE_CHECKING:
    import pyarrow as pa

DATASET_NAME = "images.lance"
_IDS_A_PREDICATE = 2048
_SCAN_ROWS = 2048


class VersionGoneError(OSError):
    """An index run has removed the files of the version at hand; a newer one has them."""


@contextmanager
def _clear_gone() -> Iterator[None]:
    """Tell missing files of an old version from all else that Lance complains about.

    Lance reports them as `OSError` or as `ValueError`, depending on the call.

    Raises:
        VersionGoneError: In place of Lance's error.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if "Not found: " in str(error) and DATASET_NAME in str(error):
            raise VersionGoneError(str(error)) from error
        raise


class Store:
    """The dataset at the version that was newest when it was opened, plus what is written here.

    Only the holder of the index lock calls what writes. All that reads raises `VersionGoneError`
    when another process has cleaned that version away.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        """Open the newest version of a gallery folder's dataset, if there is one yet.

        Raises:
            GalleryError: If the dataset is damaged.
            OutputError: If it is a link.
        """
        self._uri = str(inside(folder, DATASET_NAME))
        self._dimension = dimension
        self._dataset = self._open()

    def _open(self) -> Any:
        import lance

        if not self._has_versions():
            return None  # the first index run has not begun, or was killed at once
        try:
            return lance.dataset(self._uri)
        except (OSError, ValueError) as error:
            raise GalleryError(
                f"the dataset {self._uri} is damaged ({error}); restore it from a backup, or "
                "delete the gallery's folder and run `composir index` again"
            ) from error

    def _has_versions(self) -> bool:
        return any(Path(self._uri, "_versions").glob("*.manifest"))

    def is_current(self) -> bool:
        """Whether no newer version has been committed."""
        if self._dataset is None:
            return not self._has_versions()
        return bool(self._dataset.latest_version == self._dataset.version)

    def create(self) -> None:
        """Make the dataset if there is none yet."""
        import lance

        if self._dataset is None:
            self._dataset = lance.write_dataset(
                rows.schema(self._dimension).empty_table(), self._uri, mode="create"
            )

    @property
    def dataset(self) -> Any:
        """The `lance.LanceDataset`, or None before the first index run."""
        return self._dataset

    @property
    def dimension(self) -> int:
        """Width D of the vectors."""
        return self._dimension

    @property
    def version(self) -> int:
        """Number of the version at hand; 0 before the first index run."""
        return 0 if self._dataset is None else int(self._dataset.version)

    @property
    def schema(self) -> pa.Schema:
        """All columns, own and metadata."""
        return rows.schema(self._dimension) if self._dataset is None else self._dataset.schema

    @property
    def metadata_columns(self) -> list[str]:
        """Names of the columns that came from sidecars."""
        return [name for name in self.schema.names if name not in rows.OWN_COLUMNS]

    def __len__(self) -> int:
        """Number of images."""
        with _clear_gone():
            return 0 if self._dataset is None else int(self._dataset.count_rows())

    def stream(self, columns: Sequence[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in order, a few thousand at a time, so that memory does not grow with the gallery.

        Args:
            columns: Names.
            where: A predicate.
        """
        if self._dataset is None:
            return
        with _clear_gone():
            yield from self._dataset.scanner(
                columns=list(columns), filter=where, batch_size=_SCAN_ROWS, batch_readahead=2
            ).to_batches()

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows at once."""
        if self._dataset is None:
            return self.schema.empty_table().select(list(columns))
        with _clear_gone():
            return self._dataset.to_table(columns=list(columns))

    def select(self, column: str, values: Iterable[str], columns: Sequence[str]) -> pa.Table:
        """Rows whose `column` is one of these hexadecimal strings."""
        wanted = list(dict.fromkeys(values))
        if self._dataset is None or not wanted:
            return self.schema.empty_table().select(list(columns))
        with _clear_gone():
            return self._dataset.to_table(columns=list(columns), filter=_one_of(column, wanted))

    def take(self, positions: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Rows by their positions in the order of `stream`."""
        if self._dataset is None or not len(positions):
            return self.schema.empty_table().select(list(columns))
        chosen = [int(position) for position in positions]
        with _clear_gone():
            return self._dataset.take(chosen, columns=list(columns))

    def nearest(
        self, columns: Sequence[str], nearest: dict[str, Any], where: str | None
    ) -> pa.Table:
        """Rows near a vector by the index, with their `_distance`, of those that pass `where`."""
        with _clear_gone():
            return self._dataset.to_table(
                columns=[*columns, "_distance"], nearest=nearest, filter=where, prefilter=True
            )

    def append(self, table: pa.Table) -> None:
        """Add rows with new ids; one commit."""
        import lance

        self._dataset = lance.write_dataset(table, self._dataset, mode="append")

    def merge(self, table: pa.Table) -> None:
        """Add rows, or replace those with the same id; one commit."""
        (
            self._dataset.merge_insert("id")
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute(table)
        )

    def update(self, table: pa.Table) -> None:
        """Overwrite some columns of the rows with these ids; one commit."""
        self._dataset.merge_insert("id").when_matched_update_all().execute(table)

    def drop(self, ids: Sequence[str]) -> None:
        """Remove rows by id."""
        for start in range(0, len(ids), _IDS_A_PREDICATE):
            self._dataset.delete(_one_of("id", ids[start : start + _IDS_A_PREDICATE]))

    def compact(self, *, purge: bool = False) -> None:
        """Merge the many small pieces of a run; `purge` rewrites every piece with dropped rows."""
        rewritten = {"materialize_deletions_threshold": 0.0} if purge else {}
        self._dataset.optimize.compact_files(**rewritten)

    def has_index(self) -> bool:
        """Whether the vectors have an index."""
        return self._dataset is not None and bool(self._dataset.describe_indices())

    def update_index(self) -> None:
        """Build the index over the vectors, or add to it the rows that it lacks."""
        if self.has_index():
            self._dataset.optimize.optimize_indices()
        else:
            self._dataset.create_index("vector", index_type="IVF_RQ", metric="cosine")

    def clean(self) -> None:
        """Remove the files of older versions and of killed runs.

        The caller holds the index lock, so no other writer's unfinished files are in danger; a
        search that is under way on an old version gets `VersionGoneError` and starts over.
        """
        self._dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)


def _one_of(column: str, values: Sequence[str]) -> str:
    if not all(value.isalnum() for value in values):
        raise ValueError(f"not hexadecimal: {values}")  # so nothing here ever needs quoting
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
