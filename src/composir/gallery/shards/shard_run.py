"""The index run of one shard: the ordinary one, of its files alone, into its own folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.excludes import forms
from composir.data.files import absolute
from composir.data.remote_paths import root_path
from composir.data.volumes import lies_below
from composir.errors import ComposirError
from composir.gallery.contents import GalleryContents
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.failures import read_failures
from composir.gallery.indexer import IndexRun, IndexSettings
from composir.gallery.known import KnownFiles
from composir.gallery.manifest import GalleryManifest, read_manifest
from composir.gallery.origin import identity_of
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.rows import image_id
from composir.gallery.shards.shard import (
    RECORD_NAME,
    Shard,
    ShardPlan,
    ShardRecord,
    check_agreement,
    place_of,
    read_record,
    read_records,
    sweep,
)
from composir.gallery.store import Store
from composir.gallery.upkeep import index_lock, prepare_folder, tidy
from composir.images.containers import holder
from composir.images.scan import FoundFile
from composir.model.base import EmbeddingModel
from composir.types import IndexReport

if TYPE_CHECKING:
    from composir.gallery.sidecar import SidecarTable

_NEVER = sys.maxsize  # the vector index is made of the merged gallery


def index_shard(
    gallery: Path,
    model: EmbeddingModel,
    roots: Sequence[Path],
    shard: Shard,
    settings: IndexSettings | None = None,
    progress: ProgressCallback | None = None,
) -> IndexReport:
    """Encode the files of one shard that a gallery does not have yet, for `merge_shards`.

    Files that the gallery has as they are, or that could not be read when they were as they are,
    are left alone. A run may be stopped or killed at any time; the same call goes on where it was,
    and one that was complete changes nothing.

    Args:
        gallery: The gallery's folder; made if missing. Nothing but `shards` in it is changed.
        model: Whose vectors the gallery holds or will hold.
        roots: The same folders and files, in the same order, for every shard.
        shard: Which; each is run once at a time, on whatever machine.
        settings: Of the run; patterns must be the same for every shard.
        progress: As of `Gallery.index`.

    Returns:
        What the run did; `total` counts the shard's own rows, which wait to be merged.

    Raises:
        GalleryError: As `Gallery.index`; and if other shards wait that were run otherwise.
        GalleryBusyError: If another process is at this shard.
        BundleMismatchError: If another model made the gallery.
    """
    gallery, settings = absolute(gallery), settings or IndexSettings()
    folders = [root_path(root) for root in roots]
    prepare_folder(gallery, identity_of(model))
    GalleryContents(gallery, model)  # refuses another model
    place = place_of(gallery, shard)
    with clear_disk_errors(place, writing=True), _locked(place):
        before = read_record(gallery, shard)
        if before is not None and before.state == "merged":
            sweep(gallery, shard)
        plan = _plan(gallery, model, folders, shard, settings)
        check_agreement(gallery, shard, plan, read_records(gallery))
        with _begun(gallery, ShardRecord(shard.number, plan, "begun")):
            store = Store(place, model.dimension, writes=True)
            store.check_files()
            facts = dict(read_manifest(gallery).root_facts)
            manifest = GalleryManifest(identity_of(model), root_facts=facts)
            manifest.write(place)
            meter = ProgressMeter(progress)
            run = ShardRun(shard, gallery, store, model, folders, settings, meter, manifest)
            report = run.run(None)
            tidy(store, run.manifest, _NEVER, purge=True)
            run.manifest.updated_now().write(place)
    return report


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    with index_lock(place):
        yield


@contextmanager
def _begun(gallery: Path, record: ShardRecord) -> Iterator[None]:
    """Note that a shard was begun, and that it is complete; under its lock."""
    record.write(gallery, "begun")
    try:
        yield
    except ComposirError:
        place = place_of(gallery, record.shard)
        if not len(Store(place, record.plan.bundle.dimension)):
            (place / RECORD_NAME).unlink()  # refused at once: its plan shall bind nobody
        raise
    record.write(gallery, "complete")


def _plan(
    gallery: Path, model: EmbeddingModel, roots: list[Path], shard: Shard, settings: IndexSettings
) -> ShardPlan:
    facts = {} if settings.forget_excludes else read_manifest(gallery).root_facts
    patterns: dict[str, tuple[str, ...]] = {}
    for root in map(str, roots):
        found = {form for text in settings.exclude for form in forms(text, root)}
        found |= {f for base in facts if lies_below(root, base) for f in facts[base].exclude}
        patterns[root] = tuple(sorted(found))
    return ShardPlan(shard.of, identity_of(model), tuple(map(str, roots)), patterns)


class ShardRun(IndexRun):
    """An index run that reads what is the shard's and is not in the gallery as it is."""

    def __init__(
        self,
        shard: Shard,
        gallery: Path,
        store: Store,
        model: EmbeddingModel,
        roots: Sequence[Path],
        settings: IndexSettings,
        meter: ProgressMeter,
        manifest: GalleryManifest,
    ) -> None:
        super().__init__(store, model, roots, settings, meter, manifest)
        self._shard = shard
        self._merged = KnownFiles(Store(gallery, model.dimension))
        failed = {p: entry for p, entry in read_failures(gallery).items() if self._takes(p)}
        self._old_failures = failed | self._old_failures

    def _takes(self, path: str) -> bool:
        root = next((root for root in self._found if lies_below(path, root)), None)
        return root is not None and self._shard.takes(holder(path), root)

    def _concerns(self, found: FoundFile) -> bool:
        file = found if found.inside is None else found.inside.file
        return self._shard.takes(str(file.path), str(file.root))

    def _bring_in_metadata(self, sidecar: SidecarTable | None) -> None:
        """Nothing: a shard has own columns alone."""

    def _is_merged(self, found: FoundFile) -> bool:
        return self._merged.is_unchanged(image_id(found.path), found.size, found.mtime_ns)

    def _must_be_read(self, found: FoundFile) -> bool:
        if not self._concerns(found):
            return False
        if self._is_merged(found):
            self._unchanged += 1
            return False
        return super()._must_be_read(found)

    def _is_waiting(self, found: FoundFile) -> bool:
        return self._concerns(found) and not self._is_merged(found) and super()._is_waiting(found)
