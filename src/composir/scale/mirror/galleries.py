"""What commands do with the address of a gallery: look, change, encode one shard, merge all."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path

from composir.data.object_store import check_address, list_folder
from composir.data.outputs import write_inside
from composir.data.places import GALLERY_MANIFEST, writable_user_folder
from composir.data.remote_paths import RemotePath
from composir.errors import GalleryBusyError
from composir.gallery.manifest import BundleIdentity, is_gallery
from composir.gallery.shards.shard import RECORD_NAME, SHARDS_NAME, Shard
from composir.gallery.upkeep import prepare_folder
from composir.scale.mirror.copy import Copy, Told
from composir.scale.mirror.published import read_published

SILENT = Told()
_SECONDS_TO_MAKE, _SECONDS_A_TRY = 120.0, 1.0
_LONGEST_NAME = 40  # characters; an address may be longer than names of files


def copy_folder(address: RemotePath) -> Path:
    """The folder of this machine that holds its copy of a gallery; it may be missing yet."""
    digest = blake2b(str(address).encode(), digest_size=4).hexdigest()
    return writable_user_folder() / "mirrors" / f"{address.name[:_LONGEST_NAME]}-{digest}"


def _copy(address: RemotePath, told: Told) -> Copy:
    check_address(address)
    return Copy(address, copy_folder(address), GALLERY_MANIFEST, told)


def _shard_copy(whole: Copy, name: str, told: Told) -> Copy:
    address = RemotePath(whole.address / SHARDS_NAME / name)
    folder = whole.folder / SHARDS_NAME / name
    return Copy(address, folder, RECORD_NAME, told, transient=True)


def fetched(address: RemotePath, told: Told = SILENT) -> Path:
    """Bring this machine's copy of a gallery up to date, to look at it.

    Returns:
        Its folder, which holds no gallery where nothing was published.

    Raises:
        ObjectStoreError: If the store does not answer, or is none.
        GalleryError: If what is there is damaged.
        MissingExtraError: If fsspec or the store's driver is not installed.
    """
    copy = _copy(address, told)
    copy.fetch()
    return copy.folder


@contextmanager
def changed(address: RemotePath, told: Told = SILENT, *, purge: bool = False) -> Iterator[Copy]:
    """Change a gallery in its copy, and publish it; see `Copy.changing`."""
    copy = _copy(address, told)
    with copy.changing(purge=purge):
        yield copy


@contextmanager
def changed_shard(
    address: RemotePath, shard: Shard, bundle: BundleIdentity, told: Told = SILENT
) -> Iterator[tuple[Path, Copy]]:
    """Encode a shard beside the copy of its gallery, and publish the shard alone.

    Args:
        address: The gallery's; where there is none, an empty one is published first.
        shard: Which.
        bundle: Whose vectors the gallery holds or will hold.
        told: Who hears of it.

    Returns:
        The folder of the gallery's copy, and the shard's own copy inside of it.
    """
    whole = _copy(address, told)
    _made(whole, bundle)
    _learn_of_others(whole, shard)
    copy = _shard_copy(whole, shard.folder_name, told)
    with copy.changing(purge=True):
        yield whole.folder, copy


def _made(whole: Copy, bundle: BundleIdentity) -> None:
    """Fetch a gallery, or publish an empty one; another worker may be doing just that."""
    last_try = time.monotonic() + _SECONDS_TO_MAKE
    while True:
        whole.fetch()
        if is_gallery(whole.folder):
            return
        try:
            with whole.changing():
                prepare_folder(whole.folder, bundle)
        except GalleryBusyError:
            if time.monotonic() > last_try:
                raise
            time.sleep(_SECONDS_A_TRY)


def _learn_of_others(whole: Copy, shard: Shard) -> None:
    """Note the plans of the shards in the store, so that one that differs is refused at once."""
    for name in _names(whole.address):
        folder = whole.folder / SHARDS_NAME / name
        if name == shard.folder_name or (folder / GALLERY_MANIFEST).exists():
            continue
        published = read_published(RemotePath(whole.address / SHARDS_NAME / name))
        for file in published.files if published else ():
            if file.path == RECORD_NAME and file.text is not None:
                folder.mkdir(parents=True, exist_ok=True)
                write_inside(folder, RECORD_NAME, file.text)


def _names(address: RemotePath) -> list[str]:
    """Names of the shards' folders in the store, whatever else people have put there."""
    place = RemotePath(address / SHARDS_NAME)
    entries = list_folder(place, missing_ok=True)
    names = {str(one["name"]).rstrip("/").rpartition("/")[2] for one in entries}
    return sorted(name for name in names if re.fullmatch(r"[0-9]+-of-[0-9]+", name))


@contextmanager
def merged(address: RemotePath, told: Told = SILENT) -> Iterator[Copy]:
    """Hold a gallery and all its shards in the store, fetched; what is left of them is published.

    The gallery is published before its shards leave the store, so a merge that is killed in between
    finds them again, and that it has all their rows; one that fails leaves them as they are. A
    shard that a worker holds is not fetched.
    """
    whole = _copy(address, told)
    with ExitStack() as shards, whole.changing():
        for name in _names(address):
            try:
                copy = _shard_copy(whole, name, told)
                shards.enter_context(copy.changing(purge=True, half_done=False))
            except GalleryBusyError as error:
                told.remark(str(error))
        yield whole
