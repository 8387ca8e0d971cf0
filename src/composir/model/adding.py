"""Add a model: from a checkpoint by way of the importer, a joint encoder, or a bundle as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from composir.errors import LicenceError, ModelError
from composir.lazy import imported
from composir.model.bundle import JOINT_NAME, MANIFEST_NAME, Bundle, Manifest
from composir.model.catalogue import PACKAGED, is_bundle, load_named, open_bundle
from composir.model.checked_files import write_manifest
from composir.model.hub import fetch
from composir.model.installed import installed_folders, is_name, new_model
from composir.model.joint.address import EndpointAddress
from composir.model.licence import commercial_use
from composir.model.sources import ModelSource, Repository
from composir.model.wishes import Wishes

if TYPE_CHECKING:
    from composir.model.joint.joint_bundle import JointBundle

_IMPORTER = "composir.foundation.importer:import_model"
_UNSTATED = {"", "none", "not stated", "unknown"}


class Importer(Protocol):
    """Makes a bundle of a checkpoint: `composir.foundation.importer.import_model`."""

    def __call__(
        self,
        source: Path,
        destination: Path,
        *,
        name: str,
        quantise: str | None,
        say: Callable[[str], None],
        allow_pickle: bool,
    ) -> Manifest:
        """Write a bundle into an empty folder and return its manifest."""


def add_model(source: ModelSource, wishes: Wishes) -> Bundle | JointBundle:
    """Add a model; it is there wholly, or not at all."""
    check_name(wishes.name)
    make = _maker(source, wishes)  # before anything large is fetched
    agreed = _agree(source.known.licence, wishes) if source.known else False
    folder = _fetched(source.place, wishes)
    with new_model(wishes.name) as building:
        make(folder, building)
        made = load_named(wishes.name, building)
        if not agreed:
            _agree(made.manifest.licence, wishes)
    return load_named(wishes.name, installed_folders()[wishes.name])


def _maker(source: ModelSource, wishes: Wishes) -> Callable[[Path, Path], object]:
    """What makes a bundle of what was fetched, in an empty folder."""
    is_ready = isinstance(source.place, Path) and is_bundle(source.place)
    is_joint = source.joint or isinstance(source.place, EndpointAddress)
    if wishes.quantise and (is_ready or is_joint):
        what = "a bundle already" if is_ready else "a joint encoder, which runs as it is"
        raise ModelError(f"{source.words} is {what}: leave out --quantise")
    if is_ready:
        return lambda folder, building: _copy_bundle(open_bundle(folder), building, wishes)
    if is_joint:
        return _joint_maker(source, wishes)
    importer = load_importer()

    def make(folder: Path, building: Path) -> None:
        importer(
            folder,
            building,
            name=wishes.name,
            quantise=wishes.quantise,
            say=wishes.say,
            allow_pickle=wishes.allow_pickle,
        )
        _complete(building, source, folder)

    return make


def _joint_maker(source: ModelSource, wishes: Wishes) -> Callable[[Path, Path], object]:
    from composir.model.joint import making

    place = source.place
    if isinstance(place, EndpointAddress):
        making.check_remote(place, wishes)
        return lambda _, building: making.add_endpoint(place, building, wishes, source.known)
    making.load_local()

    def make(folder: Path, building: Path) -> object:
        # The client's cache calls folders by their commits.
        found = place if isinstance(place, Path) else replace(place, revision=folder.name).words
        return making.add_checkpoint(folder, building, wishes, source.known, str(found))

    return make


def check_name(name: str) -> None:
    """Refuse what a model may not be called, or what one is called already."""
    if not is_name(name):
        raise ModelError(
            f"a model cannot be called {name!r}: small letters, digits, dots, hyphens and "
            "underlines, beginning with a letter or digit (--name)"
        )
    if name in PACKAGED:
        raise ModelError(f"{name} is packaged with composir: give the new one another --name")
    if name in installed_folders():
        raise ModelError(
            f"there is a model {name} already, in {installed_folders()[name]}: give the new one "
            f"another --name, or remove that first: composir models remove {name}"
        )


def load_importer() -> Importer:
    """The importer of checkpoints."""
    importer: Importer = imported(_IMPORTER, "foundation")
    return importer


def _fetched(place: Path | Repository | EndpointAddress, wishes: Wishes) -> Path:
    if isinstance(place, Path):
        return place
    if isinstance(place, EndpointAddress):
        return Path()  # there is nothing to fetch
    wishes.say(f"fetching {place.words} from the hub, into its client's cache")
    return fetch(place, pickles=wishes.allow_pickle)


def _agree(licence: str, wishes: Wishes) -> bool:
    """Ask where a licence restricts the use."""
    if commercial_use(licence).answer != "restricted":
        return False
    if not wishes.accepts(licence):
        raise LicenceError(
            f"the licence of {wishes.name} restricts its use: {licence}; nothing was added. To "
            "accept it: --accept-licence"
        )
    return True


def _copy_bundle(bundle: Bundle | JointBundle, destination: Path, wishes: Wishes) -> None:
    """Copy what a bundle lists, every checksum verified, under another name if so wished."""
    if not isinstance(bundle, Bundle) and bundle.manifest.endpoint is not None:
        from composir.model.joint.making import check_remote, privacy

        there = bundle.manifest.endpoint
        check_remote(there.address, wishes)
        wishes.say(privacy(there.address, there.key_source))
    wishes.say(f"copying the bundle {bundle.manifest.name} from {bundle.folder}")
    for name in bundle.manifest.files:
        place = destination / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.file(name), place)
    named = bundle.manifest.model_copy(update={"name": wishes.name})
    is_dual = isinstance(bundle, Bundle)
    write_manifest(destination / (MANIFEST_NAME if is_dual else JOINT_NAME), named)


def _complete(folder: Path, source: ModelSource, fetched: Path) -> None:
    """Note what the importer cannot know: the repository, and a known model's published licence."""
    made = Bundle.load(folder).manifest
    licence, training = made.licence, dict(made.training)
    if source.known is not None and licence.casefold() in _UNSTATED:
        licence = f"{source.known.licence} (as published; the checkpoint itself states none)"
    if isinstance(source.place, Repository):  # the client's cache calls folders by their commits
        training["imported_from"] = Repository(source.place.name, fetched.name).words
    noted = made.model_copy(update={"licence": licence, "training": training})
    write_manifest(folder / MANIFEST_NAME, noted)
