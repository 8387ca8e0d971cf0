"""Repairing a damaged gallery from what its folder still holds.

The repaired table is built beside the damaged one; only when it is complete does it take its place,
and what was there is moved aside, not deleted. A repair that is killed is begun again, or finished
where only the last move was missing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.files import TEMPORARY_PREFIX, absolute, open_regular
from composir.data.outputs import inside
from composir.data.places import GALLERY_MANIFEST
from composir.data.remote_paths import as_path
from composir.data.untrusted_json import decode_json
from composir.errors import BundleMismatchError, GalleryDamagedError, GalleryError
from composir.gallery import remains, rows
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.failures import FAILURES_NAME
from composir.gallery.manifest import (
    BundleIdentity,
    GalleryManifest,
    has_lost_manifest,
    is_gallery,
    read_manifest,
)
from composir.gallery.metadata import finish_widening
from composir.gallery.origin import identity_of
from composir.gallery.other_models import table_of
from composir.gallery.salvage import Salvage
from composir.gallery.store import EXACT_LIMIT, Store
from composir.gallery.upkeep import index_lock
from composir.gallery.verify import verify_table

if TYPE_CHECKING:
    from composir.model.base import EmbeddingModel

BUILDING_NAME = f"{TEMPORARY_PREFIX}repair"
REPAIRED_NAME = "images.lance.repaired"
_LONGEST_MANIFEST = 1 << 20


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did.

    Attributes:
        path: The gallery's folder.
        faults: What was damaged; empty where nothing was, and then nothing was done.
        images: How many the gallery holds now.
        lost: How many are lost and will be read again by the next index run; None if unknown.
        without_metadata: How many lost what a metadata file said of them.
        roots: Folders to index again, as far as they are known.
        aside: Where the old state is kept; None where nothing had to be moved.
    """

    path: Path
    faults: tuple[str, ...]
    images: int
    lost: int | None
    without_metadata: int
    roots: tuple[Path, ...]
    aside: Path | None


def repair_gallery(path: Path, model: EmbeddingModel | None = None) -> RepairReport:
    """Keep all of a damaged gallery that can be read; nothing is deleted, no picture read."""
    folder = absolute(path)
    if not is_gallery(folder) and not has_lost_manifest(folder):
        read_manifest(folder)  # says that there is none
    with clear_disk_errors(folder, writing=True), index_lock(folder):
        return _Repair(folder, model).run()


class _Repair:
    """One repair, under the index lock."""

    def __init__(self, folder: Path, model: EmbeddingModel | None) -> None:
        self._folder, self._model = folder, model
        self._table = table_of(folder)
        self._aside: Path | None = None
        self._faults: list[str] = []

    def run(self) -> RepairReport:
        finished = self._finish_interrupted()
        manifest = self._manifest()
        salvage = Salvage(self._folder)
        made_by = self._identity(manifest, salvage)
        parts = self._verify(made_by)
        if "table" in parts:
            self._rebuild(salvage, made_by)
        elif "cache" in parts:
            self._move_aside(remains.CACHE_NAME)
        store = Store(self._folder, made_by.dimension)
        self._mend_columns(store)
        if "table" in parts and len(store) > EXACT_LIMIT:
            store.update_index()
        if manifest is None or manifest.bundle != made_by:
            manifest = self._write_manifest(manifest, made_by, store)
        lost = 0 if "table" not in parts else salvage.lost
        return RepairReport(
            path=self._folder,
            faults=tuple(self._faults),
            images=len(store),
            lost=None if finished else lost,
            without_metadata=salvage.without_metadata,
            roots=tuple(as_path(root) for root in manifest.roots),
            aside=self._aside,
        )

    def _finish_interrupted(self) -> bool:
        """Do what a repair that was killed left to do: put its table in place."""
        shutil.rmtree(self._folder / BUILDING_NAME, ignore_errors=True)
        repaired, table = self._folder / REPAIRED_NAME, self._folder / self._table
        if not repaired.exists():
            return False
        if table.exists():  # nothing was moved yet: it is made again, from what is there now
            shutil.rmtree(repaired)
            return False
        repaired.rename(table)
        self._faults.append("a repair was stopped before its end")
        return True

    def _manifest(self) -> GalleryManifest | None:
        try:
            return read_manifest(self._folder)
        except GalleryDamagedError as error:
            self._faults.append(error.fault)
            return None

    def _identity(self, manifest: GalleryManifest | None, salvage: Salvage) -> BundleIdentity:
        """Whose vectors the table holds: as the manifest says, the table, or the model given."""
        told = salvage.identity or _told_identity(self._folder, salvage.dimension)
        known = manifest.bundle if manifest else told
        if salvage.dimension and known and known.dimension != salvage.dimension:
            self._faults.append(
                f"{GALLERY_MANIFEST} says {known.dimension} numbers a vector, the table has "
                f"{salvage.dimension}"
            )
            known = replace(known, dimension=salvage.dimension)
        return known if self._model is None and known else self._given_identity(known, salvage)

    def _given_identity(self, known: BundleIdentity | None, salvage: Salvage) -> BundleIdentity:
        model = self._model
        if model is None:
            raise GalleryError(
                f"nothing in {self._folder} tells which model made it; name that: "
                f"composir repair {shlex.quote(str(self._folder))} --model NAME"
            )
        if known and known.fingerprint != model.fingerprint:
            raise BundleMismatchError(
                f"the gallery {self._folder} was made with the bundle {known.name} "
                f"({known.fingerprint[:12]}), not {model.name} ({model.fingerprint[:12]}); "
                "leave out --model"
            )
        if salvage.dimension not in {None, model.dimension}:
            raise BundleMismatchError(
                f"the vectors of {self._folder} have {salvage.dimension} numbers, those of "
                f"{model.name} {model.dimension}: another model made them"
            )
        return known or identity_of(model)

    def _verify(self, made_by: BundleIdentity) -> set[str]:
        faults = verify_table(self._folder, made_by.dimension, deep=True)
        self._faults += [fault.told for fault in faults]
        return {fault.part for fault in faults}

    def _rebuild(self, salvage: Salvage, made_by: BundleIdentity) -> None:
        """Build the repaired table beside the damaged one, then put it in its place."""
        import lance
        import pyarrow as pa

        note = remains.identity_note(made_by)
        schema = pa.schema([*rows.schema(made_by.dimension), *salvage.metadata_fields], note)
        building = inside(self._folder, BUILDING_NAME)
        batches = pa.RecordBatchReader.from_batches(schema, salvage.batches(schema))
        lance.write_dataset(batches, str(building), mode="create")
        building.rename(self._folder / REPAIRED_NAME)
        for name in (GALLERY_MANIFEST, FAILURES_NAME):
            self._keep_copy(name)
        for name in (self._table, remains.CACHE_NAME):
            self._move_aside(name)
        (self._folder / REPAIRED_NAME).rename(self._folder / self._table)

    def _mend_columns(self, store: Store) -> None:
        half_done = [name for name in store.schema.names if name.endswith(rows.WIDENED)]
        finish_widening(store)
        self._faults += [
            f"the change of the column {name.removesuffix(rows.WIDENED)} was stopped half-way"
            for name in half_done
        ]

    def _write_manifest(
        self, old: GalleryManifest | None, made_by: BundleIdentity, store: Store
    ) -> GalleryManifest:
        self._keep_copy(GALLERY_MANIFEST)
        if old is not None:
            manifest = replace(old, bundle=made_by)
        else:
            roots = _told_roots(self._folder) or _roots_of_rows(store)
            manifest = GalleryManifest(made_by, roots=roots).switched(made_by, self._table)
            self._faults.append("patterns of --exclude remembered in it are lost: give them again")
        manifest.write(self._folder)
        return manifest

    def _keep_copy(self, name: str) -> None:
        path = self._folder / name
        if path.is_file() and not (self._place_aside() / name).exists():
            shutil.copy2(path, self._place_aside() / name, follow_symlinks=False)

    def _move_aside(self, name: str) -> None:
        path = self._folder / name
        if os.path.lexists(path):
            path.rename(self._place_aside() / name)

    def _place_aside(self) -> Path:
        """The folder that keeps the old state: a new one beside the gallery, or else inside it."""
        if self._aside is None:
            real = self._folder.resolve()
            moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
            beside = real.with_name(f"{real.name}.damaged-{moment}")
            same_disk = real.parent.stat().st_dev == real.stat().st_dev
            usable = same_disk and os.access(real.parent, os.W_OK)
            self._aside = beside if usable else real / beside.name
            self._aside.mkdir()
        return self._aside


def _told_identity(folder: Path, dimension: int | None) -> BundleIdentity | None:
    """What a damaged manifest still tells of the bundle."""
    text = _text_of(folder / GALLERY_MANIFEST)
    found = {
        key: match.group(1)
        for key in ("name", "fingerprint", "dimension")
        if (match := re.search(rf'"{key}":\s*"?([^",}}\s]+)', text))
    }
    width = dimension or int(
        found.get("dimension", "0") if found.get("dimension", "").isdecimal() else 0
    )
    if {"name", "fingerprint"} <= found.keys() and width:
        return BundleIdentity(found["name"], found["fingerprint"], width)
    return None


def _told_roots(folder: Path) -> tuple[str, ...]:
    """The roots that a damaged manifest still names."""
    listed = re.search(r'"roots":\s*(\[[^\]]*\])', _text_of(folder / GALLERY_MANIFEST))
    try:
        roots = decode_json(listed.group(1)) if listed else []
    except ValueError:
        return ()
    return tuple(root for root in roots if isinstance(root, str))


def _text_of(path: Path) -> str:
    try:
        with open_regular(path, follow=False) as file:
            return file.read(_LONGEST_MANIFEST).decode("ascii", "replace")
    except OSError:  # none, or something in its place
        return ""


def _roots_of_rows(store: Store) -> tuple[str, ...]:
    """The roots that the rows lie under: their paths less their folders."""
    roots: dict[str, None] = {}
    for path, row in store.stream_rows(["folder"]):
        parent, below = path.parent, len(Path(row["folder"]).parts)
        root = parent.parents[below - 1] if 0 < below <= len(parent.parents) else parent
        roots[str(root)] = None
    return tuple(roots)
