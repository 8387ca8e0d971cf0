"""Named models: one name, one folder. Packaged ones come first, then those that a user added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from composir.errors import BundleError, ModelError, ModelNotFoundError
from composir.model.bundle import MANIFEST_NAME, Bundle
from composir.model.model import Model
from composir.model.sessions import check_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_MODEL = "mini"
PACKAGED = {DEFAULT_MODEL: Path(__file__).parent / "mini"}

PACKAGED_USES = {
    DEFAULT_MODEL: "works at once, offline, on any CPU; brings composers trained for it",
}


def load_model(name_or_path: str | Path = DEFAULT_MODEL, *, threads: int | None = None) -> Model:
    """Load a model by name or from a bundle folder.

    Args:
        name_or_path: Of a packaged model (`mini`), of one that was added (`composir models`), or
            the path of a bundle folder.
        threads: Threads of the runtime; None for all cores of this process.

    Returns:
        The model; its graphs are read at first use.

    Raises:
        ModelNotFoundError: If there is no such model.
        ModelError: If the number of threads cannot be.
        BundleError: If the folder is no bundle, or damaged.
    """
    check_threads(threads)
    folder = named_folder(str(name_or_path))
    if folder is not None:
        return Model(load_named(str(name_or_path), folder), threads)
    folder = Path(name_or_path).expanduser()
    if not folder.is_dir():
        raise ModelNotFoundError(_not_found(str(name_or_path)))
    return Model(Bundle.load(folder), threads)


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
    """The folder of a model that a user added; it may be damaged.

    Raises:
        ModelError: If it is a packaged one, or there is none.
    """
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


def load_named(name: str, folder: Path) -> Bundle:
    """Load a bundle that goes by its folder's name.

    Raises:
        BundleError: If it is damaged, or its manifest names another model: then there would be two
            of one name.
    """
    bundle = Bundle.load(folder)
    if bundle.manifest.name != name:
        raise BundleError(
            f"{folder} holds the model {bundle.manifest.name}, not {name}: its {MANIFEST_NAME} "
            "says so; give the folder that name, or add the model again"
        )
    return bundle


def _not_found(name: str) -> str:
    from composir.model.known import known_model

    if Path(name).name != name:  # a path
        return (
            f"there is no folder {name}: a model is a name (composir models lists them) or the "
            "path of a bundle folder; if the bundle was moved, give its new path"
        )
    known = known_model(name)
    if known is not None and known.refused is None:
        return f"the model {name} is not here yet; to add it: composir models add {known.source}"
    if known is not None:
        return f"the model {name} is known, but {known.refused}"
    return (
        f"no model named {name}: here there are {', '.join(sorted(named_folders()))}; composir "
        "models lists what can be added; or give the path of a bundle folder"
    )
