"""Where the default gallery, cached vectors and passing pages lie; how commands speak of them."""

from __future__ import annotations

import os
import re
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.outputs import check_folder
from composir.data.places import user_folder, writable_user_folder
from composir.data.remote_paths import RemotePath, is_remote
from composir.errors import ComposirError, GalleryError, OutputError

if TYPE_CHECKING:
    from composir.encode.feature_store import FeatureStore

_HALF_AN_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(/|$)")
_PREFIX = "hits-"
_SECONDS_TO_LOAD = 600.0


def gallery_words(folder: Path | None) -> str:
    """What a suggested command needs to speak of the gallery that `--gallery` named, if it did."""
    return "" if folder is None else f" --gallery {shlex.quote(str(folder))}"


def named_gallery(path: Path) -> Path:
    """A gallery as it was named: a folder, or an address, which keeps its two slashes.

    Raises:
        GalleryError: If it is half an address, of which nobody wants a folder to be made.
    """
    if is_remote(path):
        return RemotePath(path)
    if _HALF_AN_ADDRESS.match(str(path)):
        raise GalleryError(
            f"{path} is no address of a gallery: it is like s3://bucket/gallery, in small letters "
            f"up to the colon, and with a bucket; a folder of that name is ./{path}"
        )
    return path


def default_gallery() -> Path:
    """The gallery that is used where none is named: `COMPOSIR_GALLERY`, else the user's own."""
    if chosen := os.environ.get("COMPOSIR_GALLERY"):
        return named_gallery(Path(chosen).expanduser())
    return user_folder() / "galleries" / "default"


def writable_default_gallery() -> Path:
    """As `default_gallery`, for what is about to be written."""
    gallery = default_gallery()
    if is_remote(gallery):
        return gallery
    try:
        check_folder(gallery)
    except OutputError as error:
        raise ComposirError(
            f"the default gallery: {error}; name another one with --gallery, or set "
            "COMPOSIR_GALLERY, or COMPOSIR_HOME for all that composir keeps"
        ) from error
    return gallery


def vector_cache(off: bool) -> FeatureStore | None:
    """Where vectors are kept between commands; None for `--no-cache`."""
    from composir.encode.feature_store import FeatureStore

    way_out = "delete it, or run with --no-cache"
    return None if off else FeatureStore(writable_user_folder() / "vectors", way_out)


def passing_page() -> Path:
    """Where a page goes that nobody named a file for; those shown before are removed.

    A browser reads its page some time after the command has ended, so the newest one stays until
    the next is shown.
    """
    from uuid import uuid4

    folder = writable_user_folder() / "pages"
    _remove_shown(folder)
    return folder / f"{_PREFIX}{uuid4().hex}.html"


def _remove_shown(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*.html"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _SECONDS_TO_LOAD:
                path.unlink()
