"""The one place where verbs get their model and gallery, so that tests can play another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from composir.cli.paths import default_gallery

if TYPE_CHECKING:
    from composir.gallery import Gallery
    from composir.model.base import EmbeddingModel

DEFAULT_MODEL = "mini"


def resolve_model(name: str | None, threads: int | None) -> EmbeddingModel:
    """Load a model.

    Args:
        name: Of the catalogue or a bundle's folder; None for the packaged one.
        threads: Of the model; None for as many as there are cores.

    Raises:
        ModelError: If there is no such model.
    """
    from composir.model import load_model

    return load_model(name or DEFAULT_MODEL, threads=threads)


def existing_gallery(folder: Path | None, model: str | None, threads: int | None) -> Gallery:
    """Open a gallery together with the model that searches it.

    Args:
        folder: The gallery; None for the default one.
        model: As `resolve_model`; None for the one that made the gallery.
        threads: As `resolve_model`.

    Raises:
        ComposirError: If the gallery or the model cannot be opened, or they do not fit.
    """
    from composir.gallery import open_gallery
    from composir.gallery.manifest import read_manifest

    place = folder or default_gallery()
    name = model or read_manifest(place).bundle.name
    return open_gallery(place, model=resolve_model(name, threads))
