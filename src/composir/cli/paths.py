"""Where a user's data and the default gallery lie."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from composir.data.outputs import check_folder
from composir.errors import ComposirError, OutputError

_SET_HOME = "set COMPOSIR_HOME to a folder that can be written"


def data_folder(environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """The folder in which composir keeps a user's data.

    Args:
        environment: `COMPOSIR_HOME` wins; else the platform's own variable is asked.
        platform: As `sys.platform`.
        home: The user's home folder.
    """
    if chosen := environment.get("COMPOSIR_HOME"):
        return Path(chosen).expanduser()
    if platform == "darwin":
        return home / "Library" / "Application Support" / "composir"
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "composir"
    return Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "composir"


def gallery_words(folder: Path | None) -> str:
    """What a suggested command needs to speak of the same gallery: ` --gallery FOLDER`, or nothing.

    Args:
        folder: As given with `--gallery`; None where it was not.
    """
    return "" if folder is None else f" --gallery {shlex.quote(str(folder))}"


def user_folder() -> Path:
    """The folder in which composir keeps this user's data; it may be missing yet.

    Raises:
        ComposirError: If the system knows no home of this user.
    """
    if chosen := os.environ.get("COMPOSIR_HOME"):
        return Path(chosen).expanduser()
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ComposirError(f"this user has no home folder; {_SET_HOME}") from error
    return data_folder(os.environ, sys.platform, home)


def writable_user_folder() -> Path:
    """As `user_folder`, for what is about to be written.

    Raises:
        ComposirError: If it cannot be made or written into.
    """
    folder = user_folder()
    try:
        check_folder(folder)
    except OutputError as error:
        raise ComposirError(f"composir's own data: {error}; {_SET_HOME}") from error
    return folder


def default_gallery() -> Path:
    """The gallery that is used where none is named: `COMPOSIR_GALLERY`, else the user's own."""
    if chosen := os.environ.get("COMPOSIR_GALLERY"):
        return Path(chosen).expanduser()
    return user_folder() / "galleries" / "default"


def writable_default_gallery() -> Path:
    """As `default_gallery`, for what is about to be written.

    Raises:
        ComposirError: If it cannot be made or written into.
    """
    gallery = default_gallery()
    try:
        check_folder(gallery)
    except OutputError as error:
        raise ComposirError(
            f"the default gallery: {error}; name another one with --gallery, or set "
            "COMPOSIR_GALLERY, or COMPOSIR_HOME for all that composir keeps"
        ) from error
    return gallery
