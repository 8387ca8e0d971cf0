"""The one place where verbs get their model and gallery, so that tests can replace both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composir.cli.terminal import note

if TYPE_CHECKING:
    from composir.compose.base import Composer
    from composir.gallery import Gallery
    from composir.model.base import EmbeddingModel
    from composir.scale.served_gallery import ServedGallery

DEFAULT_MODEL = "mini"


@dataclass(frozen=True, slots=True)
class Compute:
    """How a model runs."""

    threads: int | None = None  # None for as many as there are cores
    device: str = "cpu"  # as `--device` takes it


def resolve_model(name: str | None, compute: Compute) -> EmbeddingModel:
    """Load a model of the catalogue, or of a bundle's folder; None for the packaged one."""
    from composir.model.catalogue import open_model
    from composir.model.device import find_device

    device = find_device(compute.device, fallback=note)
    return open_model(name or DEFAULT_MODEL, threads=compute.threads, device=device)


def gallery_model(folder: Path, model: str | None, compute: Compute) -> EmbeddingModel:
    """The model for a gallery, perhaps missing yet: as named, else its own, else the default."""
    from composir.gallery.manifest import is_gallery, read_manifest
    from composir.gallery.origin import load_origin

    if model is not None or not is_gallery(folder):
        return resolve_model(model, compute)
    bundle = read_manifest(folder).bundle
    return load_origin(bundle, folder, lambda place: resolve_model(str(place), compute))


def existing_gallery(folder: Path, model: str | None, compute: Compute) -> Gallery:
    """Open a gallery together with the model that searches it."""
    from composir.gallery import open_gallery
    from composir.gallery.manifest import read_manifest

    read_manifest(folder)  # that there is no gallery comes before what is wrong with a model
    return open_gallery(folder, model=gallery_model(folder, model, compute))


def open_served(address: str, model: str | None, compute: Compute) -> ServedGallery:
    """Open a store that holds a gallery's vectors, together with the model that made them."""
    import atexit

    from composir.scale import open_store
    from composir.scale.served_gallery import ServedGallery

    store = open_store(address)
    atexit.register(store.close)
    return ServedGallery(store, lambda place: resolve_model(model or str(place), compute))


def refuse_uncommercial(model: EmbeddingModel, composer: Composer | None = None) -> None:
    """What `--commercial` asks for: that the licences of the weights used allow commercial use.

    Composers without weights have no licence.
    """
    from composir.compose.spliced import SplicedComposer
    from composir.model.catalogue import bundle_of
    from composir.model.licence import check_commercial

    bundle = bundle_of(model)
    licence = "" if bundle is None else bundle.manifest.licence
    check_commercial(f"the model {model.name}", licence)
    if isinstance(composer, SplicedComposer):
        check_commercial(f"the composer {composer.name}", composer.folder.manifest.licence)


def note_receiver(model: EmbeddingModel) -> None:
    """Tell that pictures go to another machine, where a model runs there."""
    from composir.model.catalogue import receiver_of

    receiver = receiver_of(model)
    if receiver is not None:
        note(f"{model.name} runs elsewhere: the pictures go to {receiver}")
