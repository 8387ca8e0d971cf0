"""Where the default gallery and cached vectors lie, and how a command speaks of a gallery."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.outputs import check_folder
from composir.data.places import user_folder, writable_user_folder
from composir.errors import ComposirError, OutputError

if TYPE_CHECKING:
    from composir.encode.feature_store import FeatureStore


def gallery_words(folder: Path | None) -> str:
    """What a suggested command needs to speak of the same gallery: ` --gallery FOLDER`, or nothing.

    Args:
        folder: As given with `--gallery`; None where it was not.
    """
    return "" if folder is None else f" --gallery {shlex.quote(str(folder))}"


def default_gallery() -> Path:
    """The gallery that is used where none is named: `COMPOSIR_GALLERY`, else the user's own."""
    if chosen := os.environ.get("COMPOSIR_GALLERY"):
        return Path(chosen).expanduser()
    return user_folder() / "galleries" / "default"


def writable_default_gallery() -> Path:
    """As `default_gallery`, for what is about to be written."""
    gallery = default_gallery()
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
