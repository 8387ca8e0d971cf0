"""One index run: look at the roots, read what is new, drop what is gone, bring in metadata."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from composir.data.excludes import Excludes
from composir.data.remote_paths import as_path, is_remote
from composir.data.volumes import lies_below, volume_of
from composir.errors import ComposirError, GalleryError, ModelError
from composir.gallery import rows
from composir.gallery.departed import (
    Looked,
    departed,
    former_root,
    kept_rows,
    moved_elsewhere,
    nothing_found,
)
from composir.gallery.failures import (
    FailedFile,
    decoder_signature,
    may_be_readable_now,
    read_failures,
    write_failures,
)
from composir.gallery.known import ContentSet, KnownFiles
from composir.gallery.manifest import GalleryManifest, RootFacts
from composir.gallery.members import MemberScan
from composir.gallery.metadata import apply_metadata, finish_widening
from composir.gallery.origin import identity_of
from composir.gallery.pipeline import Pipeline
from composir.gallery.progress import ProgressMeter
from composir.gallery.reader import FileReader
from composir.gallery.store import Store
from composir.gallery.writer import RowWriter
from composir.images.remote_scan import scan_stores
from composir.images.scan import INDEXED, FoundFile, ScanNotes, scan
from composir.model.base import EmbeddingModel
from composir.model.pace import USUAL_BATCH, batch_for
from composir.types import Failure, FloatArray, IndexReport, PixelArray

if TYPE_CHECKING:
    from composir.gallery.sidecar import SidecarTable

_STORE_READERS = 16
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index run goes about it.

    Attributes:
        exclude: Patterns of what to leave out; see `excludes`. They are remembered with the roots
            and added to those remembered.
        forget_excludes: Forget the patterns remembered with these roots first.
        retry_failures: Read unchanged files again that could not be read last time.
        batch_size: Most pictures a call of the model; None for what is usual, or, where there are
            many pictures, the model's own measurement.
        decoders: Threads that read and decode.
    """

    exclude: tuple[str, ...] = ()
    forget_excludes: bool = False
    retry_failures: bool = False
    batch_size: int | None = None
    decoders: int = max(1, min(8, os.cpu_count() or 1))


class IndexRun:
    """The state of one run; the caller holds the index lock.

    Attributes:
        manifest: The gallery's, as the run has left it; what it says of the roots is on disk before
            the first row is.
    """

    def __init__(
        self,
        store: Store,
        model: EmbeddingModel,
        roots: Sequence[Path],
        settings: IndexSettings,
        meter: ProgressMeter,
        manifest: GalleryManifest,
    ) -> None:
        """Prepare a run over absolute, existing roots."""
        self._store, self._folder, self._model = store, store.folder, model
        self._roots, self._settings, self._meter = roots, settings, meter
        self._batch = settings.batch_size or USUAL_BATCH
        self._begun = time.perf_counter()
        self._old_failures = read_failures(store.folder)
        self._failures: dict[str, FailedFile] = {}
        self._unreachable: list[str] = []
        self._found = dict.fromkeys(map(str, roots), 0)
        self._unchanged = 0
        self._environment = decoder_signature()
        self._before = self.manifest = manifest
        self._notes = ScanNotes()

    def run(self, sidecar: SidecarTable | None) -> IndexReport:
        """Run all stages."""
        self._store.create(identity_of(self._model))
        finish_widening(self._store)
        self._known = KnownFiles(self._store)
        self._excludes = self._patterns()
        self._members = MemberScan(self._folder, self._excludes, self._concerns)
        waiting = self._look(sidecar)
        self._check_something_found()
        unmatched = () if sidecar is None else sidecar.check_matched()
        self._remember_roots()
        writer = RowWriter(self._store, self._known, self._meter, environment=self._environment)
        self._read_new(writer, waiting)
        self._failures |= writer.failed
        self._meter.start("tidying", None)
        self._meter.report(force=True)
        report = self._drop_departed(writer)
        self._bring_in_metadata(sidecar)
        write_failures(self._folder, self._remaining_failures())
        return replace(
            report,
            failures=tuple(entry.as_failure() for entry in self._failures.values()),
            total=len(self._store),
            seconds=time.perf_counter() - self._begun,
            unmatched=unmatched,
            columns={} if sidecar is None else sidecar.told,
        )

    def _bring_in_metadata(self, sidecar: SidecarTable | None) -> None:
        """From the file given, else out of containers that have changed."""
        self._meter.start("metadata", None)
        if sidecar is None:
            for told in self._members.bring_in(self._store, self._meter):
                self._note_unreachable(told.path, told.reason)
            return
        apply_metadata(self._store, sidecar, self._roots, self._meter)
        self._members.settle()

    def _concerns(self, _found: FoundFile) -> bool:
        """Whether a file is one of those that this run is about."""
        return True

    def _patterns(self) -> Excludes:
        """The patterns given now, and those remembered, of a root under its former name too."""
        if self._settings.forget_excludes:
            return Excludes(self._roots, self._settings.exclude)
        remembered = {root: facts.exclude for root, facts in self._before.root_facts.items()}
        for root in self._roots:
            if str(root) not in self._before.roots:
                former = former_root(root, self._store, self._before)
                if former is not None:
                    remembered[str(root)] = remembered[former]
        return Excludes(self._roots, self._settings.exclude, remembered)

    def _scan(self, notes: ScanNotes | None = None) -> Iterator[FoundFile | Failure]:
        """Look through the folders, then through object stores; and into containers."""
        notes = notes or ScanNotes()
        disks = [root for root in self._roots if not is_remote(root)]
        stores = [root for root in self._roots if is_remote(root)]
        found = scan(disks, exclude=self._excludes, notes=notes, endings=INDEXED)
        found = chain(found, scan_stores(stores, self._excludes, notes))
        return self._members.unpacked(found, notes)

    def _look(self, sidecar: SidecarTable | None) -> int:
        """Scan without reading: note what is still there; return how many files must be read."""
        waiting = 0
        for found in self._scan(self._notes):
            if not isinstance(found, FoundFile):
                self._note_unreachable(found.path, found.reason)
                continue
            self._found[str(found.root)] += 1
            if sidecar is not None:
                sidecar.note(found.path, found.root)
            if self._must_be_read(found):
                waiting += 1
                self._members.expect(found)
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
        if may_be_readable_now(entry.reason, entry.environment, self._environment):
            return False
        self._failures[entry.path] = entry
        self._meter.failures += 1
        return True

    def _note_unreachable(self, path: Path, reason: str) -> None:
        self._failures[str(path)] = FailedFile(str(path), reason)
        self._meter.failures += 1
        if not path.is_file():
            self._unreachable.append(str(path))

    def _looked(self) -> Looked:
        unreachable = (*self._unreachable, *self._members.faulty)
        return Looked(self._before, self._found, self._notes, self._failures, unreachable)

    def _check_something_found(self) -> None:
        if any(self._found.values()) or self._failures:
            return
        looked = self._looked()
        below = self._rows_below(looked) if len(self._store) else {}
        if any(looked.is_emptied(root) for root in below):
            return
        raise GalleryError(
            nothing_found(self._roots, len(self._store), below, self._notes, self._folder)
        )

    def _rows_below(self, looked: Looked) -> dict[str, int]:
        """How many rows each root has, where any."""
        roots = (looked.root_of(str(path)) for path, _ in self._store.stream_rows(()))
        return Counter(root for root in roots if root is not None)

    def _remember_roots(self) -> None:
        """Write down the roots and what is known of them, before any row of theirs is."""
        looked = self._looked()
        facts = {str(root): self._facts(root, looked) for root in self._roots}
        self.manifest = self._before.with_roots(facts)
        self.manifest.write(self._folder)

    def _facts(self, root: Path, looked: Looked) -> RootFacts:
        """What to remember of a root; of disks that are away what was remembered before."""
        before, text = self._before.facts(str(root)), str(root)
        exclude = self._excludes.to_remember(root)
        own = None if is_remote(root) else volume_of(root)
        if own is None or not self._found[text]:
            return RootFacts(exclude, before.volumes)
        away = looked.disks_away(text)
        inside = [volume for volume in before.volumes[1:] if volume.folder in away]
        return RootFacts(exclude, (own, *inside, *self._notes.volumes.get(text, ())))

    def _read_new(self, writer: RowWriter, waiting: int) -> None:
        """Read and encode; a second round reads again what changed places under our hands."""
        if not waiting:
            return
        self._meter.start("encoding", waiting)
        self._batch = self._settings.batch_size or batch_for(self._model, waiting)
        self._pipe(writer, self._places(), self._known.contents)
        while writer.unresolved:
            again, writer.unresolved = writer.unresolved, []
            self._meter.expect(len(again))
            self._pipe(writer, iter(again), KnownFiles(self._store).contents)

    def _pipe(self, writer: RowWriter, places: Iterator[rows.Place], contents: ContentSet) -> None:
        reader = FileReader(self._model.image_spec, contents)
        decoders = self._settings.decoders
        if any(map(is_remote, self._roots)):  # it waits for the network, more than it decodes
            decoders = max(decoders, _STORE_READERS)
        stages = (reader.read, self._encode, writer)
        pipeline = Pipeline(*stages, batch_size=self._batch, decoders=decoders)
        pipeline.run(places, self._meter.report)
        self._meter.report(force=True)

    def _encode(self, pixels: PixelArray) -> FloatArray:
        try:
            vectors = self._model.encode_pixels(pixels)
        except ComposirError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model {self._model.name} failed on a batch of {len(pixels)} pictures "
                f"({type(error).__name__}: {error}); what was encoded before is kept, and the "
                "same command resumes from there"
            ) from error
        if not rows.are_unit(vectors).all():
            raise ModelError(
                f"the model {self._model.name} made of a batch of {len(pixels)} pictures something "
                "that is no vectors of unit length: it is damaged, or does not fit this machine "
                "(composir doctor). What was encoded before is kept"
            )
        return vectors

    def _places(self) -> Iterator[rows.Place]:
        """The files to read; found by a second scan, so that their names need no memory."""
        for found in self._scan():
            if isinstance(found, FoundFile) and self._is_waiting(found):
                yield rows.Place.of(found)

    def _is_waiting(self, found: FoundFile) -> bool:
        return str(found.path) not in self._failures and not self._known.is_unchanged(
            rows.image_id(found.path), found.size, found.mtime_ns
        )

    def _drop_departed(self, writer: RowWriter) -> IndexReport:
        """Drop the rows whose files are gone or have moved here; the report so far."""
        looked = self._looked()
        gone = departed(self._store, self._known, looked)
        for root, count in gone.emptied.items():
            self._meter.say(f"no pictures are left in {root}: dropping {count:,} from the gallery")
        self._store.drop(gone.ids.as_ids())
        for folder, count in gone.kept.items():
            is_known = bool(self._before.facts(folder).volumes) or folder not in self._found
            self._note_unreachable(
                as_path(folder), kept_rows(folder, count, is_known, self._folder)
            )
        moves = moved_elsewhere(self._store, looked)
        self._store.drop(moves.ids.as_ids())
        self._old_failures = {
            path: entry
            for path, entry in self._old_failures.items()
            if not any(lies_below(path, root) for root in moves.finished)
        }
        self.manifest = self.manifest.without_roots(moves.finished)
        return IndexReport(
            added=writer.added,
            reused=writer.reused,
            unchanged=self._unchanged + writer.refreshed,
            dropped=len(gone.ids) - gone.contents.count_shared(writer.reused_contents),
            failures=(),
            total=0,
            seconds=0.0,
            other_kinds=dict(self._notes.other_kinds.most_common()),
            unmatched_excludes=self._excludes.unmatched(),
            excludes=_by_root({str(r): self._excludes.in_force(r) for r in self._roots}),
            moved=_by_root(moves.moved),
            left_behind=_by_root({r: n for r, n in moves.left.items() if r in moves.moved}),
            emptied=_by_root(gone.emptied),
        )

    def _remaining_failures(self) -> dict[str, FailedFile]:
        root_of = self._looked().root_of
        elsewhere = {p: entry for p, entry in self._old_failures.items() if root_of(p) is None}
        return elsewhere | self._failures


def _by_root(values: Mapping[str, _Value]) -> dict[Path, _Value]:
    return {as_path(root): value for root, value in values.items() if value}
