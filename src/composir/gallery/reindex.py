"""Another model for a gallery in steps: prepared beside, compared, switched to, and taken back.

`beside` encodes and writes; here is what is kept when. A switch, either way, is one atomic write of
the manifest, and the table that it leaves stays until it is discarded.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from composir.data.files import absolute
from composir.errors import GalleryDamagedError, GalleryError
from composir.gallery import remains
from composir.gallery.beside import Beside
from composir.gallery.disk_errors import VersionGoneError, cause_of, clear_disk_errors
from composir.gallery.manifest import BundleIdentity, GalleryManifest, other_table, read_manifest
from composir.gallery.origin import identity_of
from composir.gallery.other_models import KeptTable, OtherModels, read_other_models
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.store import Store
from composir.gallery.upkeep import index_lock
from composir.model.base import EmbeddingModel

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model whose vectors a gallery keeps, as it stands to the gallery's rows of now.

    Attributes:
        bundle: Which.
        images: Rows of its table.
        lacking: Rows of the gallery that it has not, since they came later.
    """

    bundle: BundleIdentity
    images: int
    lacking: int


@dataclass(frozen=True, slots=True)
class ModelsOfGallery:
    """The gallery's own model, and those that it keeps vectors of beside."""

    current: BundleIdentity
    prepared: KeptModel | None
    former: KeptModel | None


def models_of(folder: Path) -> ModelsOfGallery:
    """Which models a gallery has vectors of."""
    folder = absolute(folder)
    manifest = read_manifest(folder)
    kept = read_other_models(folder).settled(manifest.table)
    own = _ids(Store(folder, manifest.bundle.dimension))
    prepared = kept.prepared if kept.prepared and kept.prepared.written_from else None
    return ModelsOfGallery(
        manifest.bundle,
        _standing(folder, prepared, own),
        _standing(folder, kept.former, own),
    )


def _standing(folder: Path, kept: KeptTable | None, own: set[str]) -> KeptModel | None:
    if kept is None or not (folder / kept.table).is_dir():
        return None
    ids = _ids(table_of_kept(folder, kept))
    return KeptModel(kept.bundle, len(ids), len(own - ids))


def _ids(store: Store) -> set[str]:
    return {name for batch in store.stream(["id"]) for name in batch["id"].to_pylist()}


def table_of_kept(folder: Path, kept: KeptTable) -> Store:
    """The table of a model that a gallery keeps beside its own.

    Raises:
        GalleryError: If it is damaged, which is nothing that a repair of the gallery looks at.
    """
    for _ in range(_ATTEMPTS):
        try:
            store = Store(folder, kept.bundle.dimension, kept.table)
            store.check_files()
        except VersionGoneError as error:  # it may be written anew just now
            why = cause_of(error)
        except GalleryDamagedError as error:
            why = error.fault
            break
        else:
            return store
    raise GalleryError(
        f"the vectors of {kept.bundle.name} that the gallery keeps are damaged ({why}); its own "
        "are not concerned. Remove them: composir reindex --discard; then prepare them again"
    )


def prepare_model(
    folder: Path, model: EmbeddingModel, progress: ProgressCallback | None = None
) -> ModelsOfGallery:
    """Encode all pictures of a gallery with another model, beside; the gallery stays as it is.

    A run may be stopped or killed at any time; the same call goes on where it was. Another one that
    was prepared before is discarded.

    Raises:
        GalleryError: If it is the gallery's own model or its former one, pictures cannot be
            reached, or the disk has no room.
        GalleryBusyError: If another process is changing the gallery.
        ModelError: If the model fails.
    """
    folder = absolute(folder)
    with _changing(folder):
        manifest, kept = _now(folder)
        _check_is_new(manifest, kept, model)
        table = _as_kept(model)
        if kept.prepared is None or kept.prepared.table != table.table:
            replace(kept, prepared=table).write(folder)  # from here on nothing removes it
            remains.remove_other_tables(folder, manifest)
        Beside(folder, model, ProgressMeter(progress)).prepare()
    return models_of(folder)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Hold a gallery's folder; in one that is none, no lock is made."""
    read_manifest(folder)
    with clear_disk_errors(folder, writing=True), index_lock(folder):
        yield


def _now(folder: Path) -> tuple[GalleryManifest, OtherModels]:
    manifest = read_manifest(folder)
    return manifest, read_other_models(folder).settled(manifest.table)


def _check_is_new(manifest: GalleryManifest, kept: OtherModels, model: EmbeddingModel) -> None:
    if manifest.bundle.fingerprint == model.fingerprint:
        raise GalleryError(f"the gallery is the model {model.name}'s already; name another one")
    if kept.former is not None and kept.former.bundle.fingerprint == model.fingerprint:
        raise GalleryError(
            f"{model.name} is the gallery's former model, whose vectors are kept: go back to it "
            "(composir reindex --rollback), or discard them first (--discard)"
        )


def switch_to_prepared(
    folder: Path, model: EmbeddingModel, progress: ProgressCallback | None = None
) -> ModelsOfGallery:
    """Make a gallery the prepared model's, in one atomic step; the model before is kept.

    Pictures that have come since it was prepared are encoded first.

    Args:
        folder: The gallery's.
        model: The prepared one.
        progress: As of `Gallery.index`.

    Raises:
        GalleryError: If this model is not prepared, or pictures cannot be reached.
        GalleryBusyError: If another process is changing the gallery.
    """
    folder = absolute(folder)
    with _changing(folder):
        manifest, kept = _now(folder)
        _check_is_prepared(kept, model)
        beside = Beside(folder, model, ProgressMeter(progress))
        if not beside.is_prepared():
            beside.prepare()
        own = KeptTable(manifest.bundle, manifest.table)
        replace(kept, former=own).write(folder)  # so that the table to go back to has its name
        _make_own(folder, manifest, _as_kept(model), OtherModels(former=own))
        shutil.rmtree(folder / remains.BESIDE_NAME, ignore_errors=True)
    return models_of(folder)


def _as_kept(model: EmbeddingModel) -> KeptTable:
    return KeptTable(identity_of(model), other_table(model.fingerprint))


def _check_is_prepared(kept: OtherModels, model: EmbeddingModel) -> None:
    if kept.prepared is not None and kept.prepared.bundle.fingerprint == model.fingerprint:
        return
    if kept.former is not None and kept.former.bundle.fingerprint == model.fingerprint:
        raise GalleryError(
            f"{model.name} is the gallery's former model: go back to it (composir reindex "
            "--rollback); or prepare another one (--model NAME)"
        )
    raise GalleryError(
        f"no vectors of {model.name} are prepared; first: composir reindex --model NAME"
    )


def roll_back(folder: Path) -> ModelsOfGallery:
    """Make a gallery its former model's again, in one atomic step; the one it leaves is kept.

    Rows are as they were when the gallery left that model: the next index run encodes what has come
    since, and drops what has gone.

    Raises:
        GalleryError: If no former model is kept, or its table is damaged.
        GalleryBusyError: If another process is changing the gallery.
    """
    folder = absolute(folder)
    with _changing(folder):
        manifest, kept = _now(folder)
        former = kept.former
        if former is None:
            raise GalleryError("the gallery keeps no former model to go back to")
        table_of_kept(folder, former)
        left = KeptTable(manifest.bundle, manifest.table)
        replace(kept, leaving=left).write(folder)
        _make_own(folder, manifest, former, replace(kept, former=left))
    return models_of(folder)


def _make_own(
    folder: Path, manifest: GalleryManifest, chosen: KeptTable, kept: OtherModels
) -> None:
    """The step itself, then what is kept after it."""
    switched = manifest.switched(chosen.bundle, chosen.table).updated_now()
    switched.write(folder)
    kept.write(folder)
    remains.remove_other_tables(folder, switched)


def discard_others(folder: Path) -> ModelsOfGallery:
    """Remove what a gallery keeps of other models; its own stays as it is.

    Raises:
        GalleryBusyError: If another process is changing the gallery.
    """
    folder = absolute(folder)
    with _changing(folder):
        remains.forget_others(folder, read_manifest(folder))
    return models_of(folder)
