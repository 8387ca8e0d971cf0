"""Composers of one bundle share their graphs: the second stage's query graph is the first's.

A shared graph lies once, with the composer that was packaged first; the others' manifests name that
one (`SharedEntry`). Only the holder of a file is ever named, so there are no chains to follow, and
what others rely on is neither given up nor replaced. Cards stay with each composer.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from composir.compose.trained import MANIFEST_NAME, ComposerFolder, ComposerManifest
from composir.model.checked_files import SharedEntry, write_manifest

GRAPH_SUFFIX = ".onnx"


def copy_complete(composer: ComposerFolder, destination: Path) -> ComposerFolder:
    """Copy a composer out of its bundle, with the files that siblings hold for it."""
    destination.mkdir(parents=True)
    for name in composer.manifest.files:
        place = destination / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(composer.file(name), place)
    return _rewritten(destination, composer.manifest, dict.fromkeys(composer.manifest.files))


def package(composer: ComposerFolder, composers: Path) -> ComposerFolder:
    """Put a composer among others; one of the same name is replaced.

    Composers that shared a file of the replaced one get it back first, if the new one has another.
    """
    place = composers / composer.manifest.name
    composers.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=composers, prefix=".arriving-") as beside:
        arrived = copy_complete(composer, Path(beside) / place.name)
        others = _siblings(place)
        completed = [other.folder for other in others if _take_back(other, arrived)]
        shutil.rmtree(place, ignore_errors=True)
        arrived.folder.rename(place)
    for folder in (place, *completed):
        share_graphs(folder)
    return ComposerFolder.load(place)


def share_graphs(folder: Path) -> tuple[str, ...]:
    """Drop the graphs of a composer that a sibling holds under the same name."""
    composer, others = ComposerFolder.load(folder), _siblings(folder)
    relied_on = {name for other in others for name in _shared_of(other, folder.name)}
    holders = {
        name: holder
        for name, entry in composer.manifest.files.items()
        if entry.in_composer is None and name.endswith(GRAPH_SUFFIX) and name not in relied_on
        if (holder := _holder(name, entry.sha256, others))
    }
    if holders:
        _rewritten(folder, composer.manifest, holders)
    for name in holders:
        (folder / name).unlink()
    return tuple(holders)


def _take_back(composer: ComposerFolder, arrived: ComposerFolder) -> bool:
    """Copy what it shares with a sibling and the sibling's successor will not have."""
    name = arrived.manifest.name
    lost = [
        file
        for file, entry in _shared_of(composer, name).items()
        if not _has(arrived, file, entry.sha256)
    ]
    for file in lost:
        place = composer.folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(composer.file(file), place)
    if lost:
        _rewritten(composer.folder, composer.manifest, dict.fromkeys(lost))
    return bool(lost)


def _rewritten(
    folder: Path, made: ComposerManifest, holders: Mapping[str, str | None]
) -> ComposerFolder:
    """Write a manifest in which some files have other holders; None is the folder itself."""
    changed = {
        name: made.files[name].model_copy(update={"in_composer": holder})
        for name, holder in holders.items()
    }
    files = {**made.files, **changed}
    write_manifest(folder / MANIFEST_NAME, made.model_copy(update={"files": files}))
    return ComposerFolder.load(folder)


def _shared_of(composer: ComposerFolder, holder: str) -> dict[str, SharedEntry]:
    """What a composer shares with one sibling."""
    shared = composer.manifest.shared.items()
    return {name: entry for name, entry in shared if entry.in_composer == holder}


def _holder(name: str, sha256: str, others: Iterable[ComposerFolder]) -> str | None:
    """The first sibling that holds the very same file itself."""
    found = (other.folder.name for other in others if _has(other, name, sha256))
    return next(found, None)


def _has(composer: ComposerFolder, name: str, sha256: str) -> bool:
    entry = composer.manifest.files.get(name)
    return entry is not None and entry.in_composer is None and entry.sha256 == sha256


def _siblings(folder: Path) -> list[ComposerFolder]:
    """The other composers beside a folder, as far as their folders are named as they are."""
    manifests = sorted(folder.parent.glob(f"*/{MANIFEST_NAME}"))
    found = [ComposerFolder.load(path.parent) for path in manifests if path.parent != folder]
    return [other for other in found if other.folder.name == other.manifest.name]
