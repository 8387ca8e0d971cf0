"""What surrounds a change of a gallery: its folder before, its metadata, a tidy folder after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.files import remove_abandoned
from composir.data.places import GALLERY_MANIFEST
from composir.errors import DatasetError, GalleryError
from composir.gallery import manifest as manifests
from composir.gallery.damage import damaged
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.manifest import BundleIdentity, GalleryManifest
from composir.gallery.matrix import forget_matrices
from composir.gallery.remains import CACHE_NAME, remove_other_tables
from composir.gallery.store import Store

if TYPE_CHECKING:
    from composir.gallery.sidecar import SidecarTable


def prepare_folder(folder: Path, bundle: BundleIdentity) -> None:
    """Make an empty gallery in a new or empty folder; leave one that is there as it is."""
    if manifests.has_lost_manifest(folder):
        raise damaged(folder, f"its {GALLERY_MANIFEST} is missing")
    # In this order: another worker may be making the same gallery.
    if folder.is_dir() and not manifests.is_free(folder) and not manifests.is_gallery(folder):
        raise GalleryError(
            f"{folder} holds other things and is not a gallery; nothing was touched. "
            "Choose a new or empty folder with --gallery"
        )
    if not folder.exists() or (folder.is_dir() and not manifests.is_gallery(folder)):
        with clear_disk_errors(folder, writing=True):
            folder.mkdir(parents=True, exist_ok=True)
            GalleryManifest(bundle).write(folder)


def read_sidecar(path: Path | None, types: Mapping[str, str]) -> SidecarTable | None:
    """The metadata that an index run is given, if it is given any."""
    from composir.gallery.sidecar import read_metadata

    if path is None and types:
        raise DatasetError("types of columns are for a metadata file, and none is given")
    return None if path is None else read_metadata(path, types)


def tidy(store: Store, manifest: GalleryManifest, exact_limit: int, *, purge: bool = False) -> None:
    """Merge what a change left in pieces, index many vectors, remove what is out of date.

    Args:
        store: Just changed.
        manifest: Names the table that counts.
        exact_limit: Above this number of images, search goes through an index.
        purge: Leave nothing of dropped rows on the disk.
    """
    if store.dataset is None:
        return
    folder = store.folder
    store.compact(purge=purge)
    if len(store) > exact_limit:
        store.update_index()
    store.clean()
    forget_matrices(store, folder)
    remove_other_tables(folder, manifest)
    if purge:
        from composir.gallery.rerank import forget_reranked

        forget_reranked(folder)
    for place in (folder, folder / CACHE_NAME):
        remove_abandoned(place)
