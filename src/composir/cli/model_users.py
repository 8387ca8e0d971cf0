"""Which galleries a model made, as far as this machine knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from composir.cli.paths import default_gallery
from composir.data.places import user_folder
from composir.errors import BundleError, GalleryError


def galleries_of(bundle: Path) -> list[Path]:
    """Galleries that a bundle made: of the default one and those in the user data folder.

    Galleries elsewhere are known to nobody but their owners.
    """
    from composir.gallery.manifest import read_manifest
    from composir.model.catalogue import open_bundle

    try:
        fingerprint = open_bundle(bundle).fingerprint
    except BundleError:
        return []
    found = []
    for gallery in dict.fromkeys(_known_galleries()):
        try:
            if read_manifest(gallery).bundle.fingerprint == fingerprint:
                found.append(gallery)
        except GalleryError:
            continue
    return found


def _known_galleries() -> Iterator[Path]:
    yield default_gallery()
    below = user_folder() / "galleries"
    if below.is_dir():
        yield from sorted(path for path in below.iterdir() if path.is_dir())
