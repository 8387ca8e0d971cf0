"""What an index run does to files that are new, unchanged, touched, moved, changed or gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composir.errors import GalleryError
from composir.gallery import Gallery, IndexProgress, reader
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scene, scenes
from tests.unit.gallery.world import World, counts


def test_first_run_encodes_everything_once(tmp_path: Path) -> None:
    world = World(tmp_path)

    assert counts(world.index()) == (6, 0, 0, 0, 6)
    assert world.model.encoded == 6


def test_unchanged_files_are_not_even_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *, limit: int) -> bytes:
        raise AssertionError(f"read {path}, at most {limit} bytes")

    monkeypatch.setattr(reader, "read_regular", refuse)

    assert counts(world.index()) == (0, 0, 6, 0, 6)


def test_touched_files_keep_their_vectors(world: World) -> None:
    os.utime(world.paths[0], ns=(1, 1))

    assert counts(world.index()) == (0, 0, 6, 0, 6)
    assert world.model.encoded == 0
    assert counts(world.index()) == (0, 0, 6, 0, 6)


def test_moved_files_take_their_vectors_along(world: World) -> None:
    before = world.by_path()[world.paths[0]]
    moved = world.pictures / "elsewhere" / "new name's é.png"
    moved.parent.mkdir()
    world.paths[0].rename(moved)

    assert counts(world.index()) == (0, 1, 5, 0, 6)
    assert world.model.encoded == 0
    np.testing.assert_array_equal(world.by_path()[moved][1], before[1])


def test_of_two_equal_files_one_moves_and_one_is_gone(world: World) -> None:
    twin = world.pictures / "twin.png"
    shutil.copy(world.paths[0], twin)
    world.index()
    twin.unlink()
    world.paths[0].rename(world.pictures / "moved.png")

    assert counts(world.index()) == (0, 1, 5, 1, 6)


def test_changed_files_are_encoded_again(world: World) -> None:
    scene(99).save(world.paths[0])

    assert counts(world.index()) == (1, 0, 5, 0, 6)
    assert world.model.encoded == 1


def test_deleted_files_are_dropped(world: World) -> None:
    world.paths[0].unlink()

    assert counts(world.index()) == (0, 0, 5, 1, 5)


def test_equal_files_are_encoded_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    for number in range(4):
        shutil.copy(world.paths[0], world.pictures / f"copy {number}.png")

    assert counts(world.index()) == (6, 4, 0, 0, 10)
    assert world.model.encoded == 6


def test_a_copy_of_a_known_file_is_not_encoded(world: World) -> None:
    shutil.copy(world.paths[0], world.pictures / "copy.png")

    assert counts(world.index()) == (0, 1, 6, 0, 7)
    assert world.model.encoded == 0


def test_files_that_swap_names_swap_vectors(world: World) -> None:
    a, b = world.paths[:2]
    before = world.by_path()
    a.rename(world.pictures / "x.tmp")
    b.rename(a)
    (world.pictures / "x.tmp").rename(b)
    os.utime(a, ns=(5, 5))
    os.utime(b, ns=(6, 6))

    report = world.index()

    assert (report.added, report.reused, report.total, world.model.encoded) == (0, 2, 6, 0)
    np.testing.assert_array_equal(world.by_path()[a][1], before[b][1])
    np.testing.assert_array_equal(world.by_path()[b][1], before[a][1])


def test_a_chain_of_renames_longer_than_a_commit_ends_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content may be overwritten in the gallery before its new name is written."""
    monkeypatch.setattr("composir.gallery.writer.ROWS_A_COMMIT", 1)
    before = {path.read_bytes(): world.by_path()[path][1] for path in world.paths}
    for path in reversed(world.paths):
        number = int(path.stem[-4:])
        path.rename(path.with_name(f"scene-{number + 1:04}.png"))
    for path in world.pictures.iterdir():
        os.utime(path, ns=(7, 7))

    report = world.index()

    assert report.total == 6
    for path, (_, vector) in world.by_path().items():
        np.testing.assert_allclose(vector, before[path.read_bytes()], atol=1e-3)


def test_only_the_roots_given_lose_rows(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    scenes(other, [20, 21])
    world.gallery.index([other])
    world.paths[0].unlink()
    (other / "scene-0020.png").unlink()

    report = world.gallery.index([other])

    assert (report.dropped, report.total) == (1, 7)
    assert world.gallery.info().roots == (world.pictures, other)


def test_a_folder_with_the_same_beginning_is_another_root(world: World, tmp_path: Path) -> None:
    neighbour = tmp_path / "pictures and more"
    scenes(neighbour, [30])
    world.gallery.index([neighbour])

    assert counts(world.index()) == (0, 0, 6, 0, 7)


def test_a_single_file_is_a_root(tmp_path: Path) -> None:
    path = plain(tmp_path / "one.png", "red")
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())

    assert gallery.index([path]).added == 1
    assert gallery.index([path]).unchanged == 1


def test_excluded_files_leave_the_gallery(world: World) -> None:
    assert counts(world.index(exclude=["*0003*"])) == (0, 0, 5, 1, 5)


@pytest.mark.parametrize("name", ["it's.png", 'say "hi".png', "юникод 画像.png", "100%_a;--.png"])
def test_odd_names_come_and_go(world: World, name: str) -> None:
    path = plain(world.pictures / name, (255, 0, 0))
    assert world.index().added == 1
    assert world.gallery.search(Query(text="red"), k=1).hits[0].path == path

    path.unlink()
    assert world.index().dropped == 1


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_of_no_encoding_come_back_as_they_were(world: World) -> None:
    path = Path(os.fsdecode(os.fsencode(world.pictures) + b"/caf\xe9.png"))
    try:
        plain(path, (255, 0, 0))
    except OSError:
        pytest.skip("this file system wants Unicode names")

    assert world.index().added == 1
    hit = world.gallery.search(Query(text="red"), k=1).hits[0]
    assert hit.path == path
    assert hit.path.exists()
    assert world.index().unchanged == 7
    path.write_bytes(b"bad now")
    assert world.index().failures[0].path == path
    path.unlink()
    assert world.index().total == 6


def test_details_of_the_file_become_columns(world: World) -> None:
    plain(world.pictures / "trips" / "rome" / "red.png", (255, 0, 0), side=32)
    world.index()

    hit = world.gallery.search(Query(text="red"), k=1, where="folder = 'trips/rome'").hits[0]

    assert (hit.width, hit.height) == (32, 32)
    assert hit.metadata["size"] == hit.path.stat().st_size


def test_one_image_or_many_give_the_same_vectors(world: World, tmp_path: Path) -> None:
    single = Gallery.create_or_open(tmp_path / "single", ColourModel())
    single.index([world.pictures], batch_size=1)

    ids, vectors = single.vectors()
    expected = dict(zip(*world.gallery.vectors(), strict=True))
    for image_id, vector in zip(ids, vectors, strict=True):
        np.testing.assert_allclose(vector, expected[image_id], atol=1e-3)


def test_progress_tells_where_it_stands(tmp_path: Path) -> None:
    world, seen = World(tmp_path), list[IndexProgress]()

    world.index(progress=seen.append)

    assert {progress.stage for progress in seen} >= {"scanning", "encoding", "tidying"}
    last = [progress for progress in seen if progress.stage == "encoding"][-1]
    assert (last.done, last.total) == (6, 6)
    assert last.current in world.paths


def test_progress_never_goes_above_its_total(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when files come while it runs, and not when some have to be read a second time."""
    monkeypatch.setattr("composir.gallery.writer.ROWS_A_COMMIT", 1)
    monkeypatch.setattr("composir.gallery.progress.SECONDS_BETWEEN_CALLS", 0.0)
    seen: list[IndexProgress] = []
    for path in reversed(world.paths):
        path.rename(path.with_name(f"scene-{int(path.stem[-4:]) + 1:04}.png"))
    for path in world.pictures.iterdir():
        os.utime(path, ns=(7, 7))

    def come(progress: IndexProgress) -> None:
        if progress.stage == "scanning" and not seen:
            scenes(world.pictures / "zzz", range(20, 24))
        seen.append(progress)

    assert world.index(progress=come).total == 10

    encoding = [progress for progress in seen if progress.stage == "encoding"]
    assert encoding
    assert all(progress.total is not None for progress in encoding)
    assert [p for p in encoding if p.total is not None and p.done > p.total] == []


def test_the_folder_is_tidy_after_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("composir.gallery.writer.ROWS_A_COMMIT", 1)
    for seed in range(100, 110):
        scene(seed).save(world.pictures / f"more-{seed}.png")
    world.index(batch_size=1)

    dataset = world.gallery._snapshot().store.dataset

    assert len(dataset.versions()) == 1
    assert len(dataset.get_fragments()) == 1
    assert len(list((world.gallery.path / "cache").iterdir())) == 1


def test_batch_size_must_be_positive(world: World) -> None:
    with pytest.raises(GalleryError, match="batch_size"):
        world.index(batch_size=0)


def test_pictures_of_any_mode_are_indexed(world: World) -> None:
    Image.new("L", (20, 20), 90).save(world.pictures / "grey.png")
    Image.new("RGBA", (20, 20), (255, 0, 0, 9)).save(world.pictures / "alpha.png")

    assert world.index().added == 2
