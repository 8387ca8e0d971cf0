"""One index run: look at the roots, read what is new, drop what is gone, bring in metadata."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composir.errors import ComposirError, DatasetError, GalleryError, ModelError
from composir.gallery import rows
from composir.gallery.failures import FailedFile, read_failures, write_failures
from composir.gallery.known import ContentSet, KnownFiles, content_key
from composir.gallery.matrix import forget_matrices
from composir.gallery.metadata import apply_metadata
from composir.gallery.pipeline import Pipeline
from composir.gallery.progress import ProgressMeter
from composir.gallery.reader import FileReader
from composir.gallery.scan import FoundFile, scan
from composir.gallery.store import Store
from composir.gallery.writer import RowWriter
from composir.images.formats import PICTURE_SUFFIXES
from composir.model.base import EmbeddingModel
from composir.types import Failure, FloatArray, IndexReport, PixelArray

if TYPE_CHECKING:
    from composir.gallery.sidecar import SidecarTable


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index run goes about it.

    Attributes:
        exclude: Glob patterns of what to leave out; see `scan`.
        retry_failures: Read unchanged files again that could not be read last time.
        batch_size: Most pictures a call of the model.
        decoders: Threads that read and decode.
    """

    exclude: tuple[str, ...] = ()
    retry_failures: bool = False
    batch_size: int = 32
    decoders: int = max(1, min(8, os.cpu_count() or 1))


class IndexRun:
    """The state of one run; the caller holds the index lock."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        model: EmbeddingModel,
        roots: Sequence[Path],
        settings: IndexSettings,
        meter: ProgressMeter,
    ) -> None:
        """Prepare a run over absolute, existing, not nested roots."""
        self._store, self._folder, self._model = store, folder, model
        self._roots, self._settings, self._meter = roots, settings, meter
        self._begun = time.perf_counter()
        self._old_failures = read_failures(folder)
        self._failures: dict[str, FailedFile] = {}
        self._unreachable: list[str] = []
        self._found = dict.fromkeys(map(str, roots), 0)
        self._unchanged = 0

    def run(self, sidecar: SidecarTable | None) -> IndexReport:
        """Run all stages.

        Raises:
            GalleryError: If there is no picture under any root.
            DatasetError: If a sidecar has rows, but none for any of the pictures.
            ModelError: If the model fails.
        """
        if self._store.dataset is None:
            forget_matrices(self._folder)
        self._store.create()
        self._known = KnownFiles(self._store)
        waiting = self._look(sidecar)
        self._check_something_found()
        unmatched = () if sidecar is None else _rows_without_picture(sidecar)
        writer = RowWriter(self._store, self._folder, self._known, self._meter)
        self._read_new(writer, waiting)
        self._failures |= writer.failed
        self._meter.start("tidying", None)
        self._meter.report(force=True)
        gone = self._drop_gone()
        moved = (gone & writer.reused_contents).total()
        if sidecar is not None:
            self._meter.start("metadata", None)
            apply_metadata(self._store, sidecar, self._roots, self._meter)
        write_failures(self._folder, self._remaining_failures())
        return IndexReport(
            added=writer.added,
            reused=writer.reused,
            unchanged=self._unchanged + writer.refreshed,
            dropped=gone.total() - moved,
            failures=tuple(entry.as_failure() for entry in self._failures.values()),
            total=len(self._store),
            seconds=time.perf_counter() - self._begun,
            unmatched=unmatched,
        )

    def _scan(self) -> Iterator[FoundFile | Failure]:
        return scan(self._roots, exclude=self._settings.exclude)

    def _look(self, sidecar: SidecarTable | None) -> int:
        """Scan without reading: note what is still there; return how many files must be read."""
        waiting = 0
        for found in self._scan():
            if not isinstance(found, FoundFile):
                self._note_unreachable(found.path, found.reason)
                continue
            self._found[str(found.root)] += 1
            if sidecar is not None:
                sidecar.note(found.path, found.root)
            waiting += self._must_be_read(found)
            self._meter.done += 1
            self._meter.current = found.path
            self._meter.report()
        return waiting

    def _must_be_read(self, found: FoundFile) -> bool:
        image_id = rows.image_id(found.path)
        if self._failed_before(found):
            return False
        self._known.mark(image_id, seen=True)
        unchanged = self._known.is_unchanged(image_id, found.size, found.mtime_ns)
        self._unchanged += unchanged
        return not unchanged

    def _failed_before(self, found: FoundFile) -> bool:
        entry = self._old_failures.get(str(found.path))
        if entry is None or self._settings.retry_failures:
            return False
        if (entry.size, entry.mtime_ns) != (found.size, found.mtime_ns):
            return False
        self._failures[entry.path] = entry
        self._meter.failures += 1
        return True

    def _note_unreachable(self, path: Path, reason: str) -> None:
        self._failures[str(path)] = FailedFile(str(path), reason)
        self._meter.failures += 1
        if not path.is_file():
            self._unreachable.append(str(path))

    def _check_something_found(self) -> None:
        if any(self._found.values()) or self._failures:
            return
        roots = ", ".join(str(root) for root in self._roots)
        kept = f"; the gallery keeps its {len(self._store)} images" if len(self._store) else ""
        raise GalleryError(
            f"no pictures found under {roots}{kept}. Looked for files ending in "
            f"{' '.join(sorted(PICTURE_SUFFIXES))}"
        )

    def _read_new(self, writer: RowWriter, waiting: int) -> None:
        """Read and encode; a second round reads again what changed places under our hands."""
        if not waiting:
            return
        self._meter.start("encoding", waiting)
        self._pipe(writer, self._places(), self._known.contents)
        while writer.unresolved:
            again, writer.unresolved = writer.unresolved, []
            self._pipe(writer, iter(again), KnownFiles(self._store).contents)

    def _pipe(self, writer: RowWriter, places: Iterator[rows.Place], contents: ContentSet) -> None:
        reader = FileReader(self._model.image_spec, contents)
        pipeline = Pipeline(
            reader.read,
            self._encode,
            writer,
            batch_size=self._settings.batch_size,
            decoders=self._settings.decoders,
        )
        pipeline.run(places, self._meter.report)
        self._meter.report(force=True)

    def _encode(self, pixels: PixelArray) -> FloatArray:
        try:
            return self._model.encode_pixels(pixels)
        except ComposirError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model {self._model.name} failed on a batch of {len(pixels)} pictures "
                f"({type(error).__name__}: {error}); what was encoded before is kept, and the "
                "same command goes on from there"
            ) from error

    def _places(self) -> Iterator[rows.Place]:
        """The files to read; found by a second scan, so that their names need no memory."""
        for found in self._scan():
            if isinstance(found, FoundFile) and self._is_waiting(found):
                yield _place(found)

    def _is_waiting(self, found: FoundFile) -> bool:
        return str(found.path) not in self._failures and not self._known.is_unchanged(
            rows.image_id(found.path), found.size, found.mtime_ns
        )

    def _drop_gone(self) -> Counter[int]:
        """Drop the rows under the roots whose files are gone for certain; count their contents."""
        contents: Counter[int] = Counter()
        if self._known.all_seen():
            return contents
        unseen, gone = self._known.unseen(), []
        emptied: dict[str, int] = {}
        names = ["id", "content_hash", "path", "path_bytes"]
        for batch in self._store.stream(names):
            for image_id, content, text, raw in zip(
                *(batch[name].to_pylist() for name in names), strict=True
            ):
                if int(image_id, 16) not in unseen:
                    continue
                path = str(rows.decode_path(text, raw))
                root = self._root_of(path)
                if root is None or any(_is_below(path, away) for away in self._unreachable):
                    continue
                if self._found[root] or path in self._failures:
                    gone.append(image_id)
                    contents[content_key(content)] += 1
                else:
                    emptied[root] = emptied.get(root, 0) + 1
        self._store.drop(gone)
        for root, count in emptied.items():
            self._note_unreachable(Path(root), _emptied(count))
        return contents

    def _root_of(self, path: str) -> str | None:
        return next((root for root in self._found if _is_below(path, root)), None)

    def _remaining_failures(self) -> dict[str, FailedFile]:
        elsewhere = {
            path: entry for path, entry in self._old_failures.items() if self._root_of(path) is None
        }
        return elsewhere | self._failures


def _place(found: FoundFile) -> rows.Place:
    inside = found.path != found.root  # a root may be a single file
    folder = found.path.parent.relative_to(found.root).as_posix() if inside else "."
    return rows.Place(found.path, "" if folder == "." else folder, found.size, found.mtime_ns)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _emptied(count: int) -> str:
    return (
        f"no pictures found here, but the gallery has {count} from here: is a disk not mounted? "
        "Nothing was dropped"
    )


def _rows_without_picture(sidecar: SidecarTable) -> tuple[str, ...]:
    """Before anything is replaced: what a sidecar says of no picture that was found.

    Raises:
        DatasetError: If it has rows, and that is all of them.
    """
    unmatched = sidecar.unmatched()
    if not len(sidecar):
        raise DatasetError(
            f"{sidecar.path} has no rows: nothing to replace the metadata with. The gallery stays "
            "as it was"
        )
    if len(unmatched) == len(sidecar):
        raise DatasetError(
            f"none of the {len(sidecar):,} rows of {sidecar.path} is for a picture in the folders "
            f"to index: its column {sidecar.key_column!r} says, e.g., {unmatched[0]!r}; name files "
            "as they lie below those folders. The gallery stays as it was"
        )
    return unmatched
