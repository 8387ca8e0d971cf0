"""A folder of pictures with a gallery, for tests of index runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from composir.gallery import Gallery
from composir.types import FloatArray, IndexReport
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import scenes


class World:
    """A folder of six pictures, a model that counts, and a gallery."""

    def __init__(self, folder: Path) -> None:
        self.pictures = folder / "pictures"
        self.paths = scenes(self.pictures, range(6))
        self.model = ColourModel()
        self.gallery = Gallery.create_or_open(folder / "gallery", self.model)

    def index(self, **options: Any) -> IndexReport:
        self.model.encoded = 0
        return self.gallery.index([self.pictures], **options)

    def by_path(self) -> dict[Path, tuple[str, FloatArray]]:
        ids, vectors = self.gallery.vectors()
        rows = self.gallery._snapshot().store.read(["path"])["path"].to_pylist()
        return {Path(p): (i, v) for p, i, v in zip(rows, ids, vectors, strict=True)}


def counts(report: IndexReport) -> tuple[int, int, int, int, int]:
    return report.added, report.reused, report.unchanged, report.dropped, report.total
