"""Another model for a gallery of pictures in tars and tables of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.errors import GalleryError, ObjectStoreError
from composir.gallery import Gallery, open_gallery
from composir.gallery.beside import SwitchReport, switch_model
from composir.gallery.verify import verify_gallery
from composir.types import FloatArray, Query
from tests.containers import pack, picture
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.pictures import plain
from tests.unit.gallery.test_beside import Turned
from tests.unit.gallery.world import counts

GOODS = {f"goods/{name}.png": picture(name) for name in ("red", "blue", "green")}


class Shards:
    """A folder with one tar of three pictures, and a gallery."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tar = folder / "shards", pack(folder / "shards" / "0.tar", GOODS)
        self.path = folder / "gallery"

    def index(self) -> None:
        Gallery.create_or_open(self.path, ColourModel()).index([self.folder])

    def switch(self) -> tuple[Gallery, SwitchReport]:
        """The gallery with another model, and what the change did."""
        report = switch_model(self.path, Turned())
        return open_gallery(self.path, Turned()), report

    def fresh(self) -> dict[str, FloatArray]:
        """Vectors of a new gallery of the other model."""
        made = Gallery.create_or_open(self.path.with_name("fresh"), Turned())
        made.index([self.folder])
        return vectors(made)


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path)


def vectors(gallery: Gallery) -> dict[str, FloatArray]:
    """Vectors by name."""
    ids, found = gallery.vectors()
    names = {one.id: one.path.name for one in gallery.images(ids).values()}
    return {names[image_id]: row for image_id, row in zip(ids, found, strict=True)}


def assert_same(found: Mapping[str, FloatArray], expected: Mapping[str, FloatArray]) -> None:
    assert found.keys() == expected.keys()
    for name, vector in expected.items():
        np.testing.assert_array_equal(found[name], vector)


def test_another_model_is_encoded_beside_out_of_a_tar(shards: Shards) -> None:
    pack(shards.tar, {**GOODS, "goods/red.json": b'{"price": 1}'})
    plain(shards.folder / "white.png", "white")
    shards.index()

    new, report = shards.switch()

    assert (report.images, report.dropped) == (4, 0)
    assert_same(vectors(new), shards.fresh())
    assert new.search(Query(text="green"), where="price = 1").hits[0].path.name == "red.png"
    assert counts(new.index([shards.folder])) == (0, 0, 4, 0, 4)


def test_beside_a_picture_taken_out_of_a_tar_is_left_behind(shards: Shards) -> None:
    shards.index()
    pack(shards.tar, {name: GOODS[name] for name in list(GOODS)[1:]})

    new, report = shards.switch()

    assert (report.images, report.dropped) == (2, 1)
    assert sorted(vectors(new)) == ["blue.png", "green.png"]


def test_beside_nothing_is_left_of_a_tar_without_pictures(shards: Shards) -> None:
    shards.index()
    pack(shards.tar, {"notes.txt": b"sold"})

    _, report = shards.switch()

    assert (report.images, report.dropped) == (0, 3)


@pytest.mark.parametrize("cut", [700, 0])
def test_while_a_tar_is_broken_nothing_is_switched(shards: Shards, cut: int) -> None:
    plain(shards.folder / "white.png", "white")
    shards.index()
    whole = shards.tar.read_bytes()
    shards.tar.write_bytes(whole[:cut] or b"\xff" * 512)

    with pytest.raises(GalleryError, match=r"3 of 4 pictures cannot be reached.*0\.tar/.*\(it is"):
        shards.switch()
    assert len(open_gallery(shards.path, ColourModel())) == 4
    shards.tar.write_bytes(whole)

    _, report = shards.switch()
    assert (report.images, report.dropped) == (4, 0)


def test_a_deleted_tar_is_left_behind_and_one_of_a_missing_folder_is_not(shards: Shards) -> None:
    pack(shards.folder / "1.tar", GOODS)
    shards.index()
    (shards.folder / "1.tar").unlink()
    away = shards.folder.rename(shards.folder.with_name("away"))
    with pytest.raises(GalleryError, match="6 of 6 pictures cannot be reached now"):
        shards.switch()
    away.rename(shards.folder)

    _, report = shards.switch()

    assert (report.images, report.dropped) == (3, 3)


def test_contents_that_changed_places_get_their_own_vectors_beside(shards: Shards) -> None:
    shards.index()
    changed = dict(zip(GOODS, reversed(GOODS.values()), strict=True))
    pack(shards.tar, changed)

    new, _ = shards.switch()
    new.index([shards.folder])

    assert_same(vectors(new), shards.fresh())
    assert verify_gallery(shards.path, deep=True) == []


def put(path: Path, columns: Mapping[str, object], rows_a_group: int = 2) -> Path:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns)), path, row_group_size=rows_a_group)
    return path


def test_another_model_is_encoded_beside_out_of_a_table(shards: Shards) -> None:
    shards.tar.unlink()
    names = list(COLOURS)
    put(shards.folder / "set.parquet", {"image": [picture(name) for name in names], "of": names})
    shards.index()

    new, report = shards.switch()

    assert (report.images, report.dropped) == (len(COLOURS), 0)
    assert_same(vectors(new), shards.fresh())
    red = new.search(Query(text="green"), where="of = 'red'").hits[0]
    assert red.path == shards.folder / "set.parquet" / f"{names.index('red')}.png"


def test_rows_that_moved_up_in_a_table_get_their_own_vectors(shards: Shards) -> None:
    shards.tar.unlink()
    table = shards.folder / "set.parquet"
    put(table, {"image": [picture(name) for name in COLOURS]})
    shards.index()
    put(table, {"image": [picture(name) for name in list(COLOURS)[1:]]})

    new, report = shards.switch()
    new.index([shards.folder])

    assert report.dropped == 1
    assert_same(vectors(new), shards.fresh())


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """An object store, empty again afterwards."""
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_a_table_of_paths_and_addresses_is_read_as_when_it_was_indexed(
    shards: Shards, store: MemoryFileSystem
) -> None:
    store.pipe("/bucket/red.png", picture("red"))
    away = plain(shards.folder.with_name("elsewhere") / "blue.png", "blue")
    table = put(shards.folder / "list.parquet", {"image": [str(away), "memory://bucket/red.png"]})
    Gallery.create_or_open(shards.path, ColourModel()).index([table])
    before = open_gallery(shards.path, ColourModel())
    store.rm("/bucket", recursive=True)

    with pytest.raises((GalleryError, ObjectStoreError), match="bucket"):
        shards.switch()
    assert vectors(before).keys() == {"blue.png", "red.png"}
    store.pipe("/bucket/red.png", picture("red"))
    new, report = shards.switch()

    assert (report.images, report.dropped) == (2, 0)
    assert new.search(Query(text="green"), k=1).hits[0].path.name == "red.png"
