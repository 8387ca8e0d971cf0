"""What surrounds a change of a gallery: its folder and lock before, a tidy folder after."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.file_lock import try_lock
from composir.data.files import remove_abandoned
from composir.data.outputs import open_inside, refuse_links
from composir.data.places import GALLERY_MANIFEST
from composir.data.untrusted_json import read_json
from composir.errors import DatasetError, GalleryBusyError, GalleryError
from composir.gallery import manifest as manifests
from composir.gallery.disk_errors import clear_disk_errors, damaged
from composir.gallery.manifest import BundleIdentity, GalleryManifest
from composir.gallery.matrix import forget_matrices
from composir.gallery.mirror_note import refuse_to_change_copy
from composir.gallery.remains import CACHE_NAME, CONTENTS_NAME, remove_other_tables
from composir.gallery.store import Store

if TYPE_CHECKING:
    from composir.gallery.sidecar import SidecarTable

LOCK_NAME = "index.lock"
_MOST_BYTES = 4096


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

    `purge` leaves nothing of dropped rows on the disk.
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
        from composir.gallery.members import forget_contents
        from composir.gallery.rerank import forget_reranked

        forget_reranked(folder)
        forget_contents(folder)
    for place in (folder, folder / CACHE_NAME, folder / CONTENTS_NAME):
        remove_abandoned(place)


@contextmanager
def index_lock(folder: Path) -> Iterator[None]:
    """Hold the gallery for indexing.

    The operating system frees the lock when the process ends in whatever way, so what a killed
    process leaves behind is only a file and blocks nobody.
    """
    refuse_links(folder)  # whoever holds the lock may write anywhere in there
    refuse_to_change_copy(folder)
    path = folder / LOCK_NAME
    handle = open_inside(folder, LOCK_NAME, os.O_RDWR)
    try:
        if not try_lock(handle):
            raise GalleryBusyError(_who(path, folder))
        os.ftruncate(handle, 0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.write(handle, json.dumps(holder).encode())
        yield
    finally:
        os.close(handle)


def _who(path: Path, folder: Path) -> str:
    try:
        holder = read_json(path, GalleryBusyError, dict, limit=_MOST_BYTES)
        who = "process {pid:d} on {host:s} (since {since:s} UTC)".format_map(holder)
    except (GalleryBusyError, KeyError, TypeError, ValueError):
        who = "another process"  # it holds the lock but has not signed yet
    return (
        f"the gallery {folder} is being indexed by {who}; "
        "wait until it has finished, or stop it. Searching goes on meanwhile"
    )
