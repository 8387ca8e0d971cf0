"""Machines that work on one gallery in an object store, for tests of its copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data.remote_paths import RemotePath
from composir.gallery import Gallery, open_gallery
from composir.gallery.store import Store
from composir.scale.mirror import Told, changed, fetched
from composir.scale.mirror.published import (
    Published,
    read_published,
)
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain

G = RemotePath("memory://bucket/g")
COLOURS = ("red", "green", "blue", "yellow", "black", "white")


class World:
    """Pictures, a store, and machines that work on one gallery."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.model = ColourModel()
        self.remarks: list[str] = []
        self.fetched: list[int] = []
        self.told = Told(self._reported, self.remarks.append)
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        self.at("a")

    def _reported(self, stage: str, done: int, total: int) -> None:
        if stage == "fetching" and done == total:
            self.fetched.append(total)

    def at(self, name: str) -> None:
        """Go to another machine."""
        self._patch.setenv("COMPOSIR_HOME", str(self.folder / name))
        self._patch.setattr("socket.gethostname", lambda: name)

    def add(self, *colours: str) -> None:
        """More pictures."""
        for colour in colours:
            plain(self.pictures / f"{colour}.png", colour)

    def index(self) -> None:
        """An index run of this machine."""
        with changed(G, self.told) as copy:
            Gallery.create_or_open(copy.folder, self.model).index([self.pictures])

    def held(self) -> set[str]:
        """What this machine finds."""
        return stems(fetched(G, self.told))

    @property
    def published(self) -> Published:
        """The newest edition."""
        found = read_published(G)
        assert found is not None
        return found


def stems(folder: Path) -> set[str]:
    """Names of the pictures of a gallery."""
    store = Store(folder, open_gallery(folder).info().dimension)
    return {path.stem for path, _ in store.stream_rows([])}


def objects() -> set[str]:
    return {name.removeprefix("/bucket/g/") for name in MemoryFileSystem.store}


def rewrite(record: Published, **changes: Any) -> None:
    replace(record, **changes).write(G)


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
