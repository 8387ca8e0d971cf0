"""What an index run does to files that are new, unchanged, touched, moved, changed or gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.errors import GalleryError, ModelError
from composir.gallery import Gallery, IndexProgress
from composir.types import FloatArray, IndexReport, PixelArray, Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scene, scenes


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


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.index()
    return made


def counts(report: IndexReport) -> tuple[int, int, int, int, int]:
    return report.added, report.reused, report.unchanged, report.dropped, report.total


def test_first_run_encodes_everything_once(tmp_path: Path) -> None:
    world = World(tmp_path)

    assert counts(world.index()) == (6, 0, 0, 0, 6)
    assert world.model.encoded == 6


def test_unchanged_files_are_not_even_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise AssertionError(f"read {path}")

    monkeypatch.setattr(Path, "read_bytes", _except_manifest(refuse))

    assert counts(world.index()) == (0, 0, 6, 0, 6)


def _except_manifest(refuse: Any) -> Any:
    original = Path.read_bytes
    return lambda path: refuse(path) if path.suffix == ".png" else original(path)


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


def test_a_missing_root_is_an_error_and_drops_nothing(world: World) -> None:
    world.pictures.rename(world.pictures.with_name("away"))

    with pytest.raises(GalleryError, match="pictures"):
        world.index()

    assert len(world.gallery) == 6


def test_a_root_that_is_suddenly_empty_drops_nothing(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    scenes(other, [20])
    for path in world.paths:
        path.unlink()

    with pytest.raises(GalleryError, match="keeps its 6 images"):
        world.index()
    report = world.gallery.index([world.pictures, other])

    assert (report.dropped, report.total) == (0, 7)
    assert "not mounted" in report.failures[0].reason


def test_an_unreadable_folder_drops_nothing_beneath(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = world.pictures / "sub"
    scenes(sub, [40, 41])
    world.index()
    original = os.scandir

    def refuse(path: Any) -> Any:
        if str(path) == str(sub):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr("composir.gallery.scan.os.scandir", refuse)
    report = world.index()

    assert (report.dropped, report.total) == (0, 8)
    assert [failure.path for failure in report.failures] == [sub]


def test_no_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())

    with pytest.raises(GalleryError, match=r"no pictures found.*\.jpg"):
        gallery.index([tmp_path / "empty"])


def test_a_single_file_is_a_root(tmp_path: Path) -> None:
    path = plain(tmp_path / "one.png", "red")
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())

    assert gallery.index([path]).added == 1
    assert gallery.index([path]).unchanged == 1


def test_excluded_files_leave_the_gallery(world: World) -> None:
    assert counts(world.index(exclude=["*0003*"])) == (0, 0, 5, 1, 5)


def test_failures_are_kept_and_not_retried_in_vain(world: World) -> None:
    bad = world.pictures / "bad.jpg"
    bad.write_bytes(b"no picture")

    first = world.index()
    again = world.index()

    assert [failure.path for failure in first.failures] == [bad]
    assert again.failures == first.failures == world.gallery.failures()
    assert counts(again) == (0, 0, 6, 0, 6)


def test_failures_are_retried_when_asked_or_when_the_file_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.pictures / "bad.png"
    bad.write_bytes(b"no picture")
    world.index()
    tried: list[Path] = []
    original = Path.read_bytes

    def read(path: Path) -> bytes:
        if path == bad:
            tried.append(path)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read)

    world.index()
    assert not tried
    world.index(retry_failures=True)
    assert tried == [bad]

    scene(50).save(bad)
    report = world.index()
    assert (report.added, report.failures, world.gallery.failures()) == (1, (), ())


def test_a_failure_that_is_deleted_is_forgotten(world: World) -> None:
    bad = world.pictures / "bad.jpg"
    bad.write_bytes(b"no picture")
    world.index()
    bad.unlink()

    assert world.index().failures == ()
    assert world.gallery.failures() == ()


def test_a_picture_that_turns_bad_is_dropped_and_listed(world: World) -> None:
    world.paths[0].write_bytes(b"overwritten by something")

    report = world.index()

    assert counts(report) == (0, 0, 5, 1, 5)
    assert [failure.path for failure in report.failures] == [world.paths[0]]


def test_a_file_that_the_disk_will_not_give_keeps_its_row_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = world.paths[0]
    os.utime(target, ns=(9, 9))
    original = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path == target:
            raise OSError(5, "Input/output error")
        return original(path)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", fail)
        report = world.index()
    assert (report.dropped, report.total, len(report.failures)) == (0, 6, 1)

    assert world.index().failures == ()


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


class _BreakingModel(ColourModel):
    """Works for a few pictures, then raises."""

    def __init__(self, works_for: int, error: BaseException) -> None:
        super().__init__()
        self._works_for, self._error = works_for, error

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        if self.encoded >= self._works_for:
            raise self._error
        return super().encode_pixels(pixels)


def test_a_model_that_fails_stops_the_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    scenes(tmp_path / "pictures", range(20))
    breaking = _BreakingModel(8, RuntimeError("out of registers"))
    gallery = Gallery.create_or_open(tmp_path / "gallery", breaking)

    with pytest.raises(ModelError, match="out of registers"):
        gallery.index([tmp_path / "pictures"], batch_size=4)
    assert len(gallery) == 8

    model = ColourModel()
    report = Gallery.create_or_open(tmp_path / "gallery", model).index([tmp_path / "pictures"])
    assert (report.total, report.unchanged, model.encoded) == (20, 8, 12)


def test_a_full_disk_stops_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes(tmp_path / "pictures", range(20))
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    monkeypatch.setattr("composir.gallery.writer.ROWS_A_COMMIT", 4)
    from composir.gallery.store import Store

    append, calls = Store.append, list[int]()

    def fill_up(store: Store, table: Any) -> None:
        calls.append(len(table))
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        append(store, table)

    with monkeypatch.context() as full:
        full.setattr(Store, "append", fill_up)
        with pytest.raises(GalleryError, match=r"is full.*same command again"):
            gallery.index([tmp_path / "pictures"], batch_size=4)
    assert len(gallery) == sum(calls[:2])
    assert gallery.search(Query(text="red")).hits

    assert gallery.index([tmp_path / "pictures"]).total == 20


def test_an_error_while_scanning_leaves_no_thread_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    before = threading.active_count()
    plain(world.pictures / "new.png", "red")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("composir.gallery.reader.sign_picture", broken)
    with pytest.raises(ZeroDivisionError):
        world.index()

    assert threading.active_count() == before


def test_a_ctrl_c_commits_what_was_encoded(tmp_path: Path) -> None:
    scenes(tmp_path / "pictures", range(40))
    model = ColourModel()
    gallery = Gallery.create_or_open(tmp_path / "gallery", model)

    def press(progress: IndexProgress) -> None:
        if progress.stage == "encoding":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.index([tmp_path / "pictures"], batch_size=2, progress=press)

    done = model.encoded
    assert len(gallery) == done
    report = gallery.index([tmp_path / "pictures"])
    assert (report.total, report.unchanged) == (40, done)


def test_the_folder_is_tidy_after_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("composir.gallery.writer.ROWS_A_COMMIT", 1)
    for seed in range(100, 110):
        scene(seed).save(world.pictures / f"more-{seed}.png")
    world.index(batch_size=1)

    dataset = world.gallery._snapshot().store.dataset

    assert len(dataset.versions()) == 1
    assert len(dataset.get_fragments()) == 1
    assert len(list((world.gallery.path / "cache").iterdir())) == 1


def test_a_picture_that_fails_its_dimensions_is_still_unique(world: World) -> None:
    """Two corrupt files with the same bytes are two failures."""
    for name in ("a.jpg", "b.jpg"):
        (world.pictures / name).write_bytes(b"same garbage")

    assert len(world.index().failures) == 2


def test_batch_size_must_be_positive(world: World) -> None:
    with pytest.raises(GalleryError, match="batch_size"):
        world.index(batch_size=0)


def test_a_huge_file_is_refused_unread(world: World) -> None:
    big = world.pictures / "big.png"
    with big.open("wb") as file:
        file.truncate(300 * 2**20)

    report = world.index()

    assert report.failures[0].path == big
    assert "larger than" in report.failures[0].reason


def test_pictures_of_any_mode_are_indexed(world: World) -> None:
    Image.new("L", (20, 20), 90).save(world.pictures / "grey.png")
    Image.new("RGBA", (20, 20), (255, 0, 0, 9)).save(world.pictures / "alpha.png")

    assert world.index().added == 2
