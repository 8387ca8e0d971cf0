"""Which picture a name in a row of triplets means."""

from __future__ import annotations

import os
from pathlib import Path

from composir.data.datasets import DatasetFolder

LOST = "a lost picture"
"""The kind of problem that all rows share whose pictures are not there."""


class LostPictureError(ValueError):
    """A name that leads to no file."""


class PictureNames:
    """Names relative to a folder; ids of a data set's gallery, where there is one.

    Attributes:
        by_id: Pictures of the data set by id; empty for plain files of rows.
        way_out: What helps where pictures are looked for in the wrong folder.
    """

    def __init__(self, folder: Path, images: Path | None) -> None:
        """Names in a file of rows."""
        self._folder, self._root = folder, images or folder
        self.by_id: dict[str, Path] = {}
        self._exists: dict[Path, bool] = {}
        self.way_out = (
            f"names are relative to {self._root}; where the pictures are elsewhere, name their "
            "folder: --set images=FOLDER"
        )

    @classmethod
    def of_data_set(cls, folder: Path, images: Path | None) -> PictureNames:
        """Ids of a data set folder's gallery, and names relative to it."""
        names = cls(folder, images)
        found = DatasetFolder(folder).images().values()
        names.by_id = {image.id: names._place(image.name) for image in found}
        return names

    def __call__(self, name: object) -> Path:
        """The file that a name means."""
        path = self.by_id.get(str(name)) or self._root / str(name)
        if path not in self._exists:
            self._exists[path] = _is_file(path)
        if not self._exists[path]:
            raise LostPictureError(f"no image {str(name)!r} (looked for {path})")
        return path

    @property
    def gallery(self) -> tuple[Path, ...]:
        """All pictures of the data set."""
        return tuple(self.by_id.values())

    def name_of(self, path: Path) -> str:
        """The file relative to its folder, so that splits do not depend on the machine."""
        roots = (root for root in (self._root, self._folder) if path.is_relative_to(root))
        return next((path.relative_to(root).as_posix() for root in roots), path.name)

    def _place(self, name: str) -> Path:
        """A data set's own picture, else one of the folder that is named for other rows too."""
        own = self._folder / name
        is_elsewhere = self._root != self._folder and not os.path.isfile(own)  # noqa: PTH113 -- any name
        return self._root / name if is_elsewhere else own


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # e.g. a name that is too long; in whole it would bury the message
        raise ValueError(f"no image {path.name[:40]!r}... ({error.strerror})") from error
