"""Named models: one name, one folder. Packaged ones come first, then those that a user added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from composir.errors import BundleError, ModelError, ModelNotFoundError
from composir.model.bundle import JOINT_NAME, MANIFEST_NAME, Bundle
from composir.model.device import CPU, Device, find_device
from composir.model.model import Model
from composir.model.sessions import check_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from composir.model.base import EmbeddingModel
    from composir.model.joint.joint_bundle import JointBundle

DEFAULT_MODEL = "mini"
PACKAGED = {DEFAULT_MODEL: Path(__file__).parent / "mini"}

PACKAGED_USES = {
    DEFAULT_MODEL: "works at once, offline, on any CPU; brings composers trained for it",
}


def load_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    threads: int | None = None,
    device: str | Device = CPU,
) -> Model:
    """Load a model with an encoder for pictures and another one for words.

    Args:
        name_or_path: Of a packaged model (`mini`), of one that was added (`composir models`), or
            the path of a bundle folder.
        threads: Threads of the runtime; None for all cores of this process.
        device: Where it runs: `cpu`, `auto` for what ONNX Runtime has here, or one by its name
            (`composir.model.device.KINDS`).

    Returns:
        The model; its graphs are read at first use.

    Raises:
        ModelNotFoundError: If there is no such model.
        ModelError: If the number of threads cannot be, there is no such device here, or it is a
            joint encoder (`open_model`).
        BundleError: If the folder is no bundle, or damaged.
    """
    model = open_model(name_or_path, threads=threads, device=device)
    if not isinstance(model, Model):
        raise ModelError(
            f"the model {model.name} is a joint encoder: it has no encoder of words of its own "
            "that could be trained on or exported; take a model of two encoders, such as CLIP, or "
            "open it with open_model to index and search"
        )
    return model


def open_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    threads: int | None = None,
    device: str | Device = CPU,
) -> EmbeddingModel:
    """As `load_model`, of any kind: whatever a gallery can be made with."""
    check_threads(threads)
    place = find_device(device) if isinstance(device, str) else device
    bundle = _named_bundle(str(name_or_path))
    if bundle is None:
        folder = Path(name_or_path).expanduser()
        if not folder.is_dir():
            raise ModelNotFoundError(_not_found(str(name_or_path)))
        bundle = open_bundle(folder)
    if isinstance(bundle, Bundle):
        return Model(bundle, threads, place)
    from composir.model.joint.joint_model import JointModel

    if place.is_forced:
        raise ModelError(
            f"the model {bundle.manifest.name} is a joint encoder, which does not run on ONNX "
            "Runtime: leave out --device"
        )
    return JointModel(bundle, threads)


def open_bundle(folder: Path) -> Bundle | JointBundle:
    """Load a bundle of either kind."""
    if not (folder / JOINT_NAME).is_file():
        return Bundle.load(folder)
    from composir.model.joint.joint_bundle import JointBundle

    return JointBundle.load(folder)


def bundle_of(model: EmbeddingModel) -> Bundle | JointBundle | None:
    """The bundle that a model comes from; None where it comes from none, e.g. a test's."""
    if isinstance(model, Model):
        return model.bundle
    if model.joint is None:
        return None
    from composir.model.joint.joint_model import JointModel

    return model.bundle if isinstance(model, JointModel) else None


def receiver_of(model: EmbeddingModel) -> str | None:
    """The other machine to which a model sends what it is given; None where it sends nothing."""
    bundle = bundle_of(model)
    endpoint = None if bundle is None or isinstance(bundle, Bundle) else bundle.manifest.endpoint
    return None if endpoint is None or endpoint.address.is_here else endpoint.address.host


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle's manifest."""
    return any((folder / name).is_file() for name in (MANIFEST_NAME, JOINT_NAME))


def _named_bundle(name: str) -> Bundle | JointBundle | None:
    folder = named_folder(name)
    return None if folder is None else load_named(name, folder)


def named_folder(name: str) -> Path | None:
    """The folder that a name stands for, or None where no model is called so."""
    packaged = PACKAGED.get(name)
    if packaged is not None:
        return packaged
    from composir.model.installed import is_name, models_folder

    folder = models_folder() / name if is_name(name) else None
    return folder if folder is not None and folder.is_dir() else None


def named_folders() -> dict[str, Path]:
    """Folders of all packaged and added models, by name; added ones may be damaged."""
    from composir.model.installed import installed_folders

    return {**installed_folders(), **PACKAGED}


def added_folder(name: str) -> Path:
    """The folder of a model that a user added; it may be damaged."""
    from composir.model.installed import installed_folders

    if name in PACKAGED:
        raise ModelError(f"{name} is packaged with composir, and stays with it")
    added = installed_folders()
    if name not in added:
        told = ", ".join(added) or "none"
        raise ModelNotFoundError(f"no model {name} was added; added ones are: {told}")
    return added[name]


def bundles_with(fingerprint: str) -> Iterator[str]:
    """Names of the packaged and added models of a fingerprint; damaged ones are passed over."""
    for name, folder in named_folders().items():
        try:
            found = load_named(name, folder).fingerprint
        except BundleError:
            continue
        if found == fingerprint:
            yield name


def load_named(name: str, folder: Path) -> Bundle | JointBundle:
    """Load a bundle that goes by its folder's name."""
    bundle = open_bundle(folder)
    if bundle.manifest.name != name:
        raise BundleError(
            f"{folder} holds the model {bundle.manifest.name}, not {name}: its manifest "
            "says so; give the folder that name, or add the model again"
        )
    return bundle


def _not_found(name: str) -> str:
    from composir.model.known_models import known_model

    if Path(name).name != name:  # a path
        return (
            f"there is no folder {name}: a model is a name (composir models lists them) or the "
            "path of a bundle folder; if the bundle was moved, give its new path"
        )
    known = known_model(name)
    if known is not None:
        return f"the model {name} is not here yet; to add it: composir models add {known.source}"
    return (
        f"no model named {name}: here there are {', '.join(sorted(named_folders()))}; composir "
        "models lists what can be added; or give the path of a bundle folder"
    )
