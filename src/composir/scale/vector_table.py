"""A Parquet file of a gallery's vectors and columns: for whatever reads tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from composir.data.files import replaced_atomically
from composir.data.outputs import OutputKind, check_file
from composir.gallery import Gallery, rows
from composir.gallery.store import Store
from composir.scale.upload import UploadReport, inventory_of

_NOTE = b"composir"


@dataclass(frozen=True, slots=True)
class _ParquetKind(OutputKind):
    """Parquet is known by what its end says."""

    def has_written(self, path: Path) -> bool:
        """Whether an existing file is of composir's."""
        import pyarrow as pa
        from pyarrow import parquet

        if path.stat().st_size == 0:
            return True
        try:
            return _NOTE in (parquet.read_schema(path).metadata or {})
        except (pa.ArrowException, OSError):
            return False


PARQUET = _ParquetKind("a table", (".parquet",), ())


def write_parquet(
    gallery: Gallery, path: Path, progress: Callable[[int, int], None]
) -> UploadReport:
    """Write all images of a gallery: columns, and vectors as lists of half precision.

    Raises:
        OutputError: If something else than such a table lies there.
    """
    place = path.expanduser().absolute()
    check_file(place, PARQUET, "--to")
    place.parent.mkdir(parents=True, exist_ok=True)
    note = {_NOTE: inventory_of(gallery).text().encode()}
    written = gallery.on_newest(lambda table: _write(table, place, note, progress))
    return UploadReport(written, 0, 0)


def _write(
    table: Store, place: Path, note: dict[bytes, bytes], progress: Callable[[int, int], None]
) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    seen = [name for name in rows.CANDIDATE_COLUMNS if name not in rows.INTERNAL_COLUMNS]
    names = [*seen, *table.metadata_columns, "vector"]
    schema = pa.schema([table.schema.field(name) for name in names]).with_metadata(note)
    total, done = len(table), 0
    with replaced_atomically(place) as file, parquet.ParquetWriter(file, schema) as writer:
        for batch in table.stream(names):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            done += len(batch)
            progress(done, total)
    return done
