"""Where the default gallery lies."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path


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


def default_gallery() -> Path:
    """The gallery that is used where none is named: `COMPOSIR_GALLERY`, else the user's own."""
    if chosen := os.environ.get("COMPOSIR_GALLERY"):
        return Path(chosen).expanduser()
    return data_folder(os.environ, sys.platform, Path.home()) / "galleries" / "default"
