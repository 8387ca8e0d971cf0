"""The bundle that made a gallery: what is noted of it, and where it is found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from composir.errors import BundleError, ModelNotFoundError
from composir.gallery.manifest import BundleIdentity
from composir.model.base import EmbeddingModel
from composir.names import printable

Loader = Callable[[str | Path], EmbeddingModel]


def identity_of(model: EmbeddingModel) -> BundleIdentity:
    """What a gallery notes of the model whose vectors it holds."""
    return BundleIdentity(model.name, model.fingerprint, model.dimension, _folder_of(model))


def load_origin(bundle: BundleIdentity, gallery: Path | str, load: Loader) -> EmbeddingModel:
    """Load the model that made a gallery, wherever it lies by now.

    It is looked for in the folder that the gallery notes, then by its name, then by its fingerprint
    among all packaged and added models.
    """
    from composir.model.catalogue import bundles_with

    another: EmbeddingModel | None = None
    broken: BundleError | None = None
    for place in _likely(bundle):
        try:
            model = load(place)
        except ModelNotFoundError:
            continue
        except BundleError as error:
            broken = broken or error
            continue
        if model.fingerprint == bundle.fingerprint:
            return model
        another = another or model
    for name in bundles_with(bundle.fingerprint):
        return load(name)
    if another is not None:
        return another
    raise broken or ModelNotFoundError(_not_to_be_had(bundle, gallery))


def _likely(bundle: BundleIdentity) -> Iterator[str | Path]:
    from composir.model.catalogue import named_folder

    if bundle.folder is not None and Path(bundle.folder).is_absolute():
        folder = Path(bundle.folder)
        if folder.is_dir():
            yield folder
    # A name from outside must never be taken for a path of this machine.
    if named_folder(bundle.name) is not None or not Path(bundle.name).exists():
        yield bundle.name


def _folder_of(model: EmbeddingModel) -> str | None:
    """Where a bundle lies; a packaged one is found by its name, wherever composir is installed."""
    from composir.model.catalogue import PACKAGED, bundle_of

    bundle = bundle_of(model)
    if bundle is None or bundle.folder in PACKAGED.values():
        return None
    return str(bundle.folder.absolute())


def _not_to_be_had(bundle: BundleIdentity, gallery: Path | str) -> str:
    from composir.model.known_models import known_model

    name, known = printable(bundle.name), known_model(bundle.name)
    source = known.source if known is not None else "SOURCE"
    where = "" if bundle.folder is None else f" (it lay in {printable(bundle.folder)})"
    return (
        f"the gallery {gallery} was made with the bundle {name} of the fingerprint "
        f"{printable(bundle.fingerprint)}{where}, and no model here is that one; add it again: "
        f"composir models add {source} --name {name}; or give its folder with --model"
    )
