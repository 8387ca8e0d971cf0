"""Where a user's data lies: one folder a user, for galleries, models and caches."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from composir.data.outputs import check_folder
from composir.errors import ComposirError, OutputError

GALLERY_MANIFEST = "composir-gallery.json"
"""The file by which a gallery is known, wherever it lies."""

_SET_HOME = "set COMPOSIR_HOME to a folder that can be written"


def data_folder(environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """The folder in which composir keeps a user's data."""
    if chosen := environment.get("COMPOSIR_HOME"):
        return Path(chosen).expanduser()
    if platform == "darwin":
        return home / "Library" / "Application Support" / "composir"
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "composir"
    return Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "composir"


def user_folder() -> Path:
    """The folder in which composir keeps this user's data; it may be missing yet."""
    if chosen := os.environ.get("COMPOSIR_HOME"):
        return Path(chosen).expanduser()
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ComposirError(f"this user has no home folder; {_SET_HOME}") from error
    return data_folder(os.environ, sys.platform, home)


def writable_user_folder() -> Path:
    """As `user_folder`, for what is about to be written."""
    folder = user_folder()
    try:
        check_folder(folder)
    except OutputError as error:
        raise ComposirError(f"composir's own data: {error}; {_SET_HOME}") from error
    return folder
