"""Which files of a gallery's folder are published: all that could not be made again from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from composir.data.files import TEMPORARY_PREFIX
from composir.gallery.mirror_note import MIRROR_NOTE
from composir.gallery.remains import CACHE_NAME, CONTENTS_NAME, newest_version
from composir.gallery.rerank import RERANKED_NAME
from composir.gallery.shards.shard import SHARDS_NAME
from composir.gallery.upkeep import LOCK_NAME
from composir.scale.mirror.published import PublishedFile, is_inside, published_file

_OWN = {LOCK_NAME, MIRROR_NOTE}
_KEPT_OF_CACHE = (CONTENTS_NAME, RERANKED_NAME)


def published_files(folder: Path, *, still_written: bool = False) -> tuple[PublishedFile, ...]:
    """The files of an edition, by path.

    Args:
        folder: A gallery's, or a shard's. Shards in a gallery are published by themselves.
        still_written: Whether a run is writing: then what came after the newest version of its
            table is left out, since some of it may be half written.
    """
    newest = {table: _newest(table) for table in _tables(folder)}
    found = []
    for path in _paths(folder):
        table = next((one for one in (folder / path).parents if one in newest), None)
        with suppress(FileNotFoundError):  # Lance renames what it has written
            if table is None or _is_of(folder / path, newest[table], still_written):
                found.append(published_file(folder, path))
    return tuple(found)


def _tables(folder: Path) -> list[Path]:
    """The gallery's own ones, and none of the shards that may be encoded in there."""
    return [table for table in folder.glob("*.lance") if table.is_dir()]


def _newest(table: Path) -> Path | None:
    version = newest_version(table)
    return None if version is None else table / "_versions" / version[0]


def _is_of(path: Path, newest: Path | None, still_written: bool) -> bool:
    """Whether a file of a table is, or can be, of its newest version."""
    if newest is None:
        return False
    if path.parent == newest.parent:
        return path == newest
    return not still_written or path.stat().st_mtime_ns <= newest.stat().st_mtime_ns


def _paths(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and is_inside(name) and _is_published(name):
            yield name


def _is_published(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if parts[0] == SHARDS_NAME or any(part.startswith(TEMPORARY_PREFIX) for part in parts):
        return False
    if parts[0] == CACHE_NAME:
        return name.startswith(tuple(f"{kept}/" for kept in _KEPT_OF_CACHE))
    return parts[-1] not in _OWN


def in_order(files: Iterable[PublishedFile]) -> list[list[PublishedFile]]:
    """Files in the order in which they may appear: versions name data, manifests name tables."""
    steps: list[list[PublishedFile]] = [[], [], []]
    for file in files:
        parts = PurePosixPath(file.path).parts
        steps[1 if "_versions" in parts else 2 if len(parts) == 1 else 0].append(file)
    return steps


def remove_others(folder: Path, files: Iterable[PublishedFile]) -> None:
    """Remove what an edition does not have; versions first, so that none names what is gone."""
    wanted = {file.path for file in files}
    others = [path for path in _paths(folder) if path not in wanted]
    for path in sorted(others, key=lambda name: "_versions" not in PurePosixPath(name).parts):
        (folder / path).unlink(missing_ok=True)
    for table in _tables(folder):
        if not any(path.is_file() for path in table.rglob("*")):
            shutil.rmtree(table, ignore_errors=True)
