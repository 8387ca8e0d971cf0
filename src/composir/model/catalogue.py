"""Named models: one name, one folder. Packaged ones come first, then those that a user added.

Models that a user has added are folders below the user data folder, `models/NAME`. A new one is
built beside its place and moved there when it is whole, so a name is a whole bundle or nothing.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from composir.data.files import TEMPORARY_PREFIX
from composir.data.outputs import inside, user_folder, writable_user_folder
from composir.errors import BundleError, ModelError, ModelNotFoundError
from composir.model.bundle import JOINT_NAME, MANIFEST_NAME, Bundle
from composir.model.device import CPU, Device, find_device
from composir.model.model import Model
from composir.model.sessions import check_threads
from composir.names import NAME_PATTERN

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

    folder = models_folder() / name if is_name(name) else None
    return folder if folder is not None and folder.is_dir() else None


def named_folders() -> dict[str, Path]:
    """Folders of all packaged and added models, by name; added ones may be damaged."""
    return {**installed_folders(), **PACKAGED}


def added_folder(name: str) -> Path:
    """The folder of a model that a user added; it may be damaged."""
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


_FOLDER = "models"
_DISK_REFUSES = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ABANDONED_SECONDS = 24 * 3600.0  # a large model takes its time to be made


def is_name(text: str) -> bool:
    """Whether a model may be called so."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def models_folder() -> Path:
    """Where added models lie; it may be missing yet."""
    return user_folder() / _FOLDER


def installed_folders() -> dict[str, Path]:
    """Folders of the added models, by name, in order of their names; they may be damaged."""
    folder = models_folder()
    if not folder.is_dir():
        return {}
    found = (path for path in folder.iterdir() if is_name(path.name) and path.is_dir())
    return {path.name: path for path in sorted(found)}


@contextmanager
def new_model(name: str) -> Iterator[Path]:
    """A folder to build a model in, which becomes the model `name` where the block ends well."""
    folder = writable_user_folder() / _FOLDER
    building = folder / f"{TEMPORARY_PREFIX}{uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        building.mkdir()
        yield building
        _put_in_place(building, inside(folder, name))
    except OSError as error:
        if error.errno not in _DISK_REFUSES:
            raise
        raise ModelError(
            f"the model {name} cannot be written into {folder}: {error.strerror}; nothing was added"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def remove_model(name: str) -> None:
    """Remove an added model: at once, so that a removal that is killed leaves no half of it."""
    folder = models_folder()
    going = folder / f"{TEMPORARY_PREFIX}{uuid4().hex}"
    inside(folder, name).rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _put_in_place(building: Path, place: Path) -> None:
    if place.exists():  # a rename would replace an empty folder, or fail in its own words
        raise ModelError(f"{place} is there by now: another process has added a model of that name")
    building.rename(place)


def _remove_abandoned(folder: Path) -> None:
    """What processes left that were killed, told by its age."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path)


PREFIX = "open_clip:"
_TABLE = tomllib.loads((files("composir.model") / "known_models.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model.

    Attributes:
        name: What it is called here once it is added.
        source: What `composir models add` takes.
        family: Whose architecture and preprocessing it has.
        width: D, width of its vectors.
        licence: Of the weights, as published.
        good_for: When to take it.
        parameters: Of both towers, in millions; None where that is not published.
    """

    name: str
    source: str
    family: str
    width: int
    licence: str
    good_for: str
    parameters: int | None = None


KNOWN: tuple[KnownModel, ...] = tuple(KnownModel(**row) for row in _TABLE["model"])
REPOSITORIES: Mapping[str, str] = _TABLE["open_clip"]
"""Repositories of the hub, by what open_clip calls `ARCHITECTURE/TAG`."""


def known_model(name_or_source: str) -> KnownModel | None:
    """The known model of a name or a source, or None; a source's revision does not matter."""
    wanted = name_or_source.partition("@")[0].casefold()
    return next((one for one in KNOWN if wanted in {one.name, one.source.casefold()}), None)
