"""Another model for a gallery: encoded beside, while the old one answers, and switched at the end.

Vectors are kept in a store of their own, `beside`, so a run that is stopped or killed goes on where
it was. When all are there, the rows are written once more, as they are by then but with the new
vectors, into a table of another name; and then one atomic write of the manifest names model and
table. Before it nothing has changed, after it nothing is left to do but to remove the old table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from composir.data.files import absolute
from composir.data.outputs import inside
from composir.data.remote_paths import is_remote
from composir.encode.encoders import encode_images, image_encoder
from composir.encode.feature_store import FeatureStore as Vectors
from composir.errors import GalleryDamagedError, GalleryError
from composir.gallery import remains, rows
from composir.gallery.disk_errors import VersionGoneError, clear_disk_errors
from composir.gallery.manifest import other_table, read_manifest
from composir.gallery.metadata import finish_widening
from composir.gallery.origin import identity_of
from composir.gallery.other_models import read_other_models
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.row_pictures import RowPictures
from composir.gallery.store import Store
from composir.gallery.upkeep import index_lock
from composir.model.base import EmbeddingModel
from composir.model.pace import USUAL_BATCH, batch_for
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

_ROOM = 1.2
# Each is read to be told from others, then to be decoded: few, so that a table still has them.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class SwitchReport:
    """What a change of the model did."""

    before: str  # name of the model until now
    images: int  # how many the gallery holds now
    dropped: int  # rows that were left behind: their files were deleted, or cannot be read any more


def is_of_another_model(folder: Path, model: EmbeddingModel) -> bool:
    """Whether a gallery holds vectors of another model than this one."""
    return read_manifest(folder).bundle.fingerprint != model.fingerprint


def switch_model(
    folder: Path, model: EmbeddingModel, progress: ProgressCallback | None = None
) -> SwitchReport:
    """Encode all pictures of a gallery with another model, and make it that model's gallery.

    Until the end the gallery is the old model's, and answers. A run may be stopped or killed at any
    time; the same call goes on where it was.
    """
    folder = absolute(folder)
    with clear_disk_errors(folder, writing=True), index_lock(folder):
        manifest = read_manifest(folder)
        beside = Beside(folder, model, ProgressMeter(progress))
        made = beside.prepare()
        switched = manifest.switched(identity_of(model), made.table).updated_now()
        switched.write(folder)
        remains.forget_others(folder, switched)
    return SwitchReport(manifest.bundle.name, len(made), beside.count - len(made))


class Beside:
    """The table of another model beside a gallery's own, under the index lock.

    Attributes:
        count: Rows of the gallery.
    """

    def __init__(self, folder: Path, model: EmbeddingModel, meter: ProgressMeter) -> None:
        self._folder, self._model, self._meter = folder, model, meter
        self._manifest = read_manifest(folder)
        self._table = other_table(model.fingerprint)
        self._old = Store(folder, self._manifest.bundle.dimension)
        self.count = len(self._old)
        self._pictures = RowPictures(self._manifest)
        self._encoder = image_encoder(model)
        self._away, self._first_away = 0, ""

    def is_prepared(self) -> bool:
        """Whether the table is there, and of the rows of now."""
        prepared = read_other_models(self._folder).prepared
        if prepared is None or prepared.written_from != self._old.identity:
            return False
        try:
            Store(self._folder, self._model.dimension, self._table).check_files()
        except (GalleryDamagedError, VersionGoneError):
            return False
        return True

    def prepare(self) -> Store:
        """Encode what is not encoded yet, and write the table."""
        self._check_is_local()
        self._old.check_files()
        if self._old.dataset is not None:
            finish_widening(self._old)
        self._check_room(self.count)
        self._vectors = Vectors(
            inside(self._folder, remains.BESIDE_NAME), "delete it, and begin again"
        )
        self._encode_all(self.count)
        self._check_reached(self.count)
        new = self._write()
        self._check_reached(self.count)
        self._note_whole(new)
        return new

    def _note_whole(self, new: Store) -> None:
        """Note of which rows the table is, where it is to be kept."""
        kept = read_other_models(self._folder)
        if kept.prepared is not None and kept.prepared.table == new.table:
            whole = replace(kept.prepared, written_from=self._old.identity)
            replace(kept, prepared=whole).write(self._folder)

    def _check_is_local(self) -> None:
        stores = [root for root in self._manifest.roots if is_remote(root)]
        if stores:
            raise GalleryError(
                f"{stores[0]} is in an object store, from which nothing is encoded beside: give "
                "the other model a gallery of its own (composir index --gallery NEW), or forget it"
            )

    def _check_room(self, count: int) -> None:
        """The old table once more, and the new vectors: kept, in the table, and for searching."""
        table = self._folder / self._old.table
        size = sum(path.stat().st_size for path in table.rglob("*") if path.is_file())
        needed = int(_ROOM * (size + count * self._model.dimension * (4 + 2 + 4)))
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise GalleryError(
                f"to index {count:,} pictures beside takes {needed / 1e9:.2f} GB, and "
                f"{self._folder} has {free / 1e9:.2f} GB left; nothing was changed: make room, "
                "and the same command resumes"
            )

    def _encode_all(self, count: int) -> None:
        self._meter.start("encoding", count)
        if (batch := batch_for(self._model, count)) != USUAL_BATCH:
            self._encoder = replace(self._encoder, batch=batch)
        for batch in self._old.stream(["path", "path_bytes"]):
            for first in range(0, len(batch), _ROWS_AT_ONCE):
                part, begun = batch.slice(first, _ROWS_AT_ONCE), self._meter.done
                self._encoded(part, begun)
                self._meter.done = begun + len(part)
        self._meter.report(force=True)

    def _check_reached(self, count: int) -> None:
        """Refuse where a disk is away: its pictures would be lost to the gallery."""
        if self._away:
            raise GalleryError(
                f"{self._away:,} of {count:,} pictures cannot be reached now, the first is "
                f"{self._first_away}; the gallery stays with {self._manifest.bundle.name}. Once "
                "they can be, the same command resumes; or forget them: composir forget FOLDER"
            )

    def _encoded(self, batch: pa.RecordBatch, begun: int = 0) -> tuple[list[int], FloatArray]:
        """Places and vectors of those pictures of some rows that can be read."""
        paths = _paths(batch)

        def count(done: int, _all: int) -> None:
            self._meter.done = begun + done
            self._meter.report()

        pictures = [self._pictures.of(path) for path in paths]
        made = encode_images(pictures, self._encoder, self._vectors, progress=count)
        self._note_away([paths[place] for place in made.failures])
        return made.kept.tolist(), np.asarray(made.rows[0])

    def _note_away(self, lost: Sequence[Path]) -> None:
        for path in lost:
            why = self._pictures.why_away(path)
            if why is not None:
                self._first_away = self._first_away or f"{path} ({why})"
                self._away += 1

    def _write(self) -> Store:
        """The new table: rows as they are, with other vectors."""
        import lance
        import pyarrow as pa

        self._meter.start("tidying", None)
        self._meter.report(force=True)
        note = remains.identity_note(identity_of(self._model))
        own = rows.schema(self._model.dimension)
        more = [self._old.schema.field(name) for name in self._old.metadata_columns]
        schema = pa.schema([*own, *more], note)
        reader = pa.RecordBatchReader.from_batches(schema, self._new_rows(schema))
        lance.write_dataset(reader, str(inside(self._folder, self._table)), mode="overwrite")
        new = Store(self._folder, self._model.dimension, self._table)
        new.clean()
        if self._old.has_index():
            new.update_index()
        return new

    def _new_rows(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in self._old.stream([name for name in schema.names if name != "vector"]):
            kept, vectors = self._encoded(batch)
            taken = batch.take(pa.array(kept, pa.int64()))  # which may be none
            columns = {name: taken[name] for name in taken.schema.names}
            columns["vector"] = rows.vector_column(vectors)
            columns["content_hash"] = self._contents(taken)
            yield from rows.as_table(columns, schema).to_batches()

    def _contents(self, batch: pa.RecordBatch) -> pa.Array:
        """Content hashes of rows; of files that have changed since, such as no content has.

        Such a row has the old content's facts and the new one's vector. The next run reads the file
        again, and takes that vector for neither.
        """
        import pyarrow as pa

        found = self._vectors.keys([self._pictures.of(path) for path in _paths(batch)])
        noted = batch["content_hash"].to_pylist()
        pairs = zip(found, noted, strict=True)
        kept = [old if now == old else _of_no_content(old) for now, old in pairs]
        return pa.array(kept, pa.string())


def _paths(batch: pa.RecordBatch) -> list[Path]:
    places = zip(batch["path"].to_pylist(), batch["path_bytes"].to_pylist(), strict=True)
    return [rows.decode_path(text, raw) for text, raw in places]


def _of_no_content(content_hash: str) -> str:
    return rows.hash_content(f"not {content_hash}".encode())
