"""Models that a user has added: folders below the user data folder, `models/NAME`.

A new one is built beside its place and moved there when it is whole, so a name is either a whole
bundle or nothing.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from composir.data.files import TEMPORARY_PREFIX
from composir.data.outputs import inside
from composir.data.places import user_folder, writable_user_folder
from composir.errors import ModelError
from composir.names import NAME_PATTERN

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
