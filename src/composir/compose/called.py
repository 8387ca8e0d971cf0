"""What a trained composer is called in results, so that no two are taken for each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from composir.compose.trained import ComposerFolder
from composir.names import printable

_RUN_PART = "composer"


def called(composer: ComposerFolder, packaged: Mapping[str, Path], taken: frozenset[str]) -> str:
    """Name of a composer that was given as a folder.

    Training gives names like `compose` to whoever says no other, so the run tells them apart.
    """
    name = composer.manifest.name
    if name in packaged and ComposerFolder.load(packaged[name]).fingerprint == composer.fingerprint:
        return name
    run = _run(composer.folder)
    return name if run == name and name not in taken else printable(f"{run}/{name}")


def _run(folder: Path) -> str:
    """The run folder's name, and which of its composers it is where there are several."""
    place = folder.expanduser().absolute()
    which, dash, part = place.name.partition("-")
    if which != _RUN_PART or not place.parent.name:
        return place.name
    return f"{place.parent.name}/{part}" if dash else place.parent.name
