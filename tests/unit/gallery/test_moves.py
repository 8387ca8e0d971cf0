"""Folders that move, and what becomes of their rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from composir.data.volumes import Volume
from composir.gallery import Gallery
from composir.gallery.manifest import RootFacts, read_manifest
from composir.types import IndexReport, Query
from tests.unit.gallery.pictures import scene, scenes
from tests.unit.gallery.world import World, counts


def move(world: World) -> Path:
    """Rename the pictures' folder."""
    moved = world.pictures.with_name("moved")
    world.pictures.rename(moved)
    return moved


def index(world: World, folder: Path) -> IndexReport:
    world.model.encoded = 0
    return world.gallery.index([folder])


def paths(gallery: Gallery) -> set[Path]:
    result = gallery.search(Query(text="red"), k=100, collapse_duplicates=False)
    return {hit.path for hit in result.hits}


def test_a_moved_folder_keeps_its_vectors_and_replaces_its_paths(world: World) -> None:
    before = world.by_path()
    moved = move(world)

    report = index(world, moved)

    assert counts(report) == (0, 6, 0, 0, 6)
    assert (world.model.encoded, report.moved) == (0, {world.pictures: 6})
    assert paths(world.gallery) == {moved / path.name for path in world.paths}
    for path, (_, vector) in world.by_path().items():
        np.testing.assert_array_equal(vector, before[world.pictures / path.name][1])
    assert world.gallery.info().roots == (moved,)
    assert counts(index(world, moved)) == (0, 0, 6, 0, 6)


def test_a_move_that_was_killed_halfway_is_finished_by_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = move(world)
    with monkeypatch.context() as killed:
        killed.setattr("composir.gallery.indexer.departed", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index(world, moved)
    assert len(world.gallery) == 12

    assert counts(index(world, moved)) == (0, 0, 6, 0, 6)
    assert world.gallery.info().roots == (moved,)


def test_a_folder_moved_to_another_root_leaves_the_rest(world: World, tmp_path: Path) -> None:
    trip = world.pictures / "trip"
    scenes(trip, [40, 41])
    world.index()
    archive = tmp_path / "archive"
    archive.mkdir()
    trip.rename(archive / "trip")

    report = index(world, archive)

    assert (report.reused, report.moved, report.total) == (2, {world.pictures: 2}, 8)
    assert world.gallery.info().roots == (world.pictures, archive)
    assert {path.parent for path in paths(world.gallery)} == {world.pictures, archive / "trip"}


def test_a_copy_of_a_folder_is_no_move(world: World) -> None:
    copy = world.pictures.with_name("copy")
    shutil.copytree(world.pictures, copy)

    report = index(world, copy)

    assert (report.reused, report.moved, report.total) == (6, {}, 12)
    assert world.gallery.info().roots == (world.pictures, copy)


def test_a_copy_of_a_folder_whose_disk_is_away_is_no_move(world: World) -> None:
    manifest = read_manifest(world.gallery.path)
    away = RootFacts((), (Volume(str(world.pictures.parent), -1),))
    manifest.with_roots({str(world.pictures): away}).write(world.gallery.path)

    assert index(world, move(world)).moved == {}
    assert len(world.gallery) == 12
    assert world.pictures in world.gallery.info().roots


def test_a_move_seen_by_a_gallery_that_remembers_no_disks(world: World) -> None:
    """Earlier versions of composir wrote such galleries."""
    manifest = read_manifest(world.gallery.path)
    manifest.with_roots({str(world.pictures): RootFacts()}).write(world.gallery.path)
    moved = move(world)

    assert index(world, moved).moved == {world.pictures: 6}
    assert world.gallery.info().roots == (moved,)


def test_pictures_that_did_not_move_along_are_told_and_kept(world: World) -> None:
    world.paths[0].unlink()
    moved = move(world)

    report = index(world, moved)

    assert (report.moved, report.left_behind) == ({world.pictures: 5}, {world.pictures: 1})
    assert world.gallery.info().roots == (world.pictures, moved)


def test_failures_of_a_moved_folder_move_along(world: World) -> None:
    (world.pictures / "bad.png").write_bytes(b"no picture")
    world.index()
    moved = move(world)
    index(world, moved)

    assert [failure.path for failure in world.gallery.failures()] == [moved / "bad.png"]


def test_equal_pictures_keep_the_metadata_of_their_names(world: World, tmp_path: Path) -> None:
    """A shop shows one photograph for two articles."""
    facts = tmp_path / "facts.csv"
    lines = ["file,price"]
    for number, name in enumerate(["b/1.png", "a/1.png", "a/2.png", "2.png"]):
        path = world.pictures / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(world.paths[0], path)
        lines.append(f"{name},{number}")
    facts.write_text("\n".join(lines))
    world.index(metadata=facts)
    moved = move(world)
    (moved / "a" / "2.png").rename(moved / "a" / "new.png")

    index(world, moved)

    table = world.gallery._snapshot().store.read(["path", "price"]).to_pylist()
    prices = {Path(row["path"]).relative_to(moved).as_posix(): row["price"] for row in table}
    assert {name: price for name, price in prices.items() if price is not None} == {
        "b/1.png": 0,
        "a/1.png": 1,
        "a/new.png": 2,
        "2.png": 3,
    }


def test_remembered_patterns_move_along_with_their_folder(world: World) -> None:
    scenes(world.pictures / "thumbs", [50, 51])
    world.index(exclude=["thumbs"])
    moved = move(world)

    report = index(world, moved)

    assert (report.total, world.model.encoded) == (6, 0)
    assert world.gallery.info().excludes == {moved: ("thumbs",)}


def test_another_folder_does_not_take_over_patterns(world: World, tmp_path: Path) -> None:
    world.index(exclude=["thumbs"])
    move(world)
    other = tmp_path / "other"
    scenes(other / "thumbs", [50])

    assert index(world, other).added == 1


def test_a_changed_picture_in_a_moved_folder_is_read_anew(world: World) -> None:
    moved = move(world)
    scene(77).save(moved / world.paths[0].name)

    report = index(world, moved)

    assert (report.added, report.reused, report.left_behind) == (1, 5, {world.pictures: 1})
