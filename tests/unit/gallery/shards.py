"""Pictures, a gallery to be, and the shards of it, for tests of workers and merges."""

from __future__ import annotations

import shutil
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

from composir.gallery import Gallery, open_gallery
from composir.gallery.indexer import IndexSettings
from composir.gallery.manifest import GalleryManifest
from composir.gallery.origin import identity_of
from composir.gallery.shards import Shard, index_shard
from composir.gallery.shards.shard import ShardPlan, ShardRecord, place_of
from composir.model.base import EmbeddingModel
from composir.types import FloatArray, IndexReport
from tests.fakes import ColourModel
from tests.unit.gallery.many import stored
from tests.unit.gallery.pictures import scenes

PICTURES, SHARDS = 12, 4


class Workers:
    """Twelve pictures in two folders, a broken one, and workers that take turns."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pictures, self.gallery = folder, folder / "pictures", folder / "gallery"
        self.paths = scenes(self.pictures, range(PICTURES // 2))
        self.paths += scenes(self.pictures / "more", range(PICTURES // 2, PICTURES))
        self.broken = self.pictures / "broken.png"
        self.broken.write_bytes(b"no picture")
        self.model = ColourModel()

    def work(
        self,
        number: int,
        of: int = SHARDS,
        *,
        roots: list[Path] | None = None,
        model: EmbeddingModel | None = None,
        **settings: Any,
    ) -> IndexReport:
        """Run one shard; `model.encoded` counts from here."""
        self.model.encoded = 0
        made = IndexSettings(**settings)
        chosen = roots or [self.pictures], Shard(number, of), made
        return index_shard(self.gallery, model or self.model, *chosen)

    def work_all(self, but: int = 0) -> int:
        """Run all shards but one; how many pictures were encoded."""
        return sum(
            self.work(n).added and self.model.encoded for n in range(1, SHARDS + 1) if n != but
        )

    def paths_of(self, number: int) -> list[Path]:
        shard = Shard(number, SHARDS)
        return [path for path in self.paths if shard.takes(str(path), str(self.pictures))]

    def open(self) -> Gallery:
        return open_gallery(self.gallery, self.model)

    def with_a_copy(self, gallery: Path) -> Workers:
        """The same pictures, which must stay as they are, and a copy of the gallery."""
        other = copy(self)
        other.folder, other.gallery = gallery.parent, shutil.copytree(self.gallery, gallery)
        return other

    @cached_property
    def ordinary(self) -> Gallery:
        """The gallery that one indexer makes of the same pictures."""
        made = Gallery.create_or_open(self.folder / "ordinary", self.model)
        made.index([self.pictures])
        return made


def rows_of(gallery: Gallery) -> list[dict[str, Any]]:
    """All that the table says, in the order of paths."""
    table = gallery.on_newest(lambda store: store.read(store.schema.names))
    place = table.schema.get_field_index("modified")  # in nanoseconds, which datetime has not
    table = table.set_column(place, "modified", table["modified"].cast("int64"))
    return sorted(table.to_pylist(), key=lambda row: str(row["path"]))


def made_up_shard(gallery: Path, model: EmbeddingModel, shard: Shard, vectors: FloatArray) -> None:
    """A complete shard of rows with given vectors, without pictures."""
    place, bundle = place_of(gallery, shard), identity_of(model)
    stored(place, vectors, f"/photos/{shard.number}")
    GalleryManifest(bundle).with_roots({}).write(place)
    plan = ShardPlan(shard.of, bundle, ("/photos",), {"/photos": ()})
    ShardRecord(shard.number, plan, "begun").write(gallery, "complete")
