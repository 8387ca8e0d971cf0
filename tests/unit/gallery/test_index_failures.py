"""What an index run does when pictures, folders, the disk or the model fail, or it is stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from composir.data.files import read_regular
from composir.data.volumes import Volume
from composir.errors import GalleryError, ImageReadError, ModelError
from composir.gallery import Gallery, IndexProgress, reader
from composir.gallery.manifest import RootFacts, read_manifest
from composir.types import FloatArray, PixelArray, Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scene, scenes
from tests.unit.gallery.world import World, counts


def test_a_missing_root_is_an_error_and_drops_nothing(world: World) -> None:
    world.pictures.rename(world.pictures.with_name("away"))

    with pytest.raises(GalleryError, match="pictures"):
        world.index()

    assert len(world.gallery) == 6


@pytest.mark.parametrize("remembered", ["another disk", "nothing"])
def test_a_root_that_may_be_unmounted_drops_nothing(
    world: World, tmp_path: Path, remembered: str
) -> None:
    """Nothing is remembered in galleries that an earlier version of composir wrote."""
    other = tmp_path / "other"
    scenes(other, [20])
    for path in world.paths:
        path.unlink()
    volumes = (Volume(str(world.pictures), -1),) if remembered == "another disk" else ()
    remember(world, volumes)

    with pytest.raises(GalleryError, match=r"keeps its 6 images.*composir forget"):
        world.index()
    for _ in range(2):  # what is there now is not taken for what was there before
        report = world.gallery.index([world.pictures, other])
        assert (report.dropped, report.total) == (0, 7)
        assert "not mounted" in report.failures[0].reason


def remember(world: World, volumes: tuple[Volume, ...]) -> None:
    """Let a gallery remember other disks of its root."""
    manifest = read_manifest(world.gallery.path)
    manifest.with_roots({str(world.pictures): RootFacts((), volumes)}).write(world.gallery.path)


def test_a_root_that_was_emptied_drops_its_rows_after_saying_how_many(world: World) -> None:
    said: list[str] = []
    rows_then: list[int] = []

    def note(progress: IndexProgress) -> None:
        if progress.remark:
            said.append(progress.remark)
            rows_then.append(len(Gallery(world.gallery.path)))

    for path in world.paths:
        path.unlink()
    report = world.index(progress=note)

    assert counts(report) == (0, 0, 0, 6, 0)
    assert report.emptied == {world.pictures: 6}
    assert said == [f"no pictures are left in {world.pictures}: dropping 6 from the gallery"]
    assert rows_then == [6]
    scenes(world.pictures, [1])
    assert world.index().total == 1


def test_a_pattern_that_leaves_nothing_drops_nothing(world: World) -> None:
    with pytest.raises(GalleryError, match=r"keeps its 6 images.*--no-exclude"):
        world.index(exclude=["*"])

    assert world.gallery.info().excludes == {world.pictures: ()}
    assert len(world.gallery) == 6


def test_a_disk_mounted_below_a_root_that_is_away_keeps_its_rows(world: World) -> None:
    trip = world.pictures / "trip"
    scenes(trip, [40, 41])
    world.index()
    own = read_manifest(world.gallery.path).facts(str(world.pictures)).volumes[0]
    remember(world, (own, Volume(str(trip), -1)))
    for path in trip.iterdir():
        path.unlink()
    world.paths[0].unlink()

    for dropped in (1, 0):
        report = world.index()
        assert (report.dropped, report.total) == (dropped, 7)
        assert [failure.path for failure in report.failures] == [trip]

    remember(world, (own,))
    assert world.index().dropped == 2


@pytest.mark.skipif(os.name != "posix", reason="links are made on POSIX only")
def test_a_link_to_another_disk_is_remembered_and_missed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    scenes(disk, [40])
    (world.pictures / "linked").symlink_to(disk)
    world.index()
    original = os.stat

    def numbered(path: Any, **settings: Any) -> os.stat_result:
        status = original(path, **settings)
        if str(path) != str(world.pictures / "linked"):
            return status
        return os.stat_result((*status[:2], status.st_dev + 1, *status[3:10]))

    with monkeypatch.context() as other_disk:
        other_disk.setattr("composir.images.scan.os.stat", numbered)
        assert world.index().total == 7
    disk.rename(tmp_path / "away")

    report = world.index()

    assert (report.dropped, report.total) == (0, 7)
    assert "its disk is not mounted" in report.failures[0].reason


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

    monkeypatch.setattr("composir.images.scan.os.scandir", refuse)
    report = world.index()

    assert (report.dropped, report.total) == (0, 8)
    assert [failure.path for failure in report.failures] == [sub]


def test_no_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())

    with pytest.raises(GalleryError, match=r"no pictures found.*\.jpg"):
        gallery.index([tmp_path / "empty"])


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

    def read(path: Path, *, limit: int) -> bytes:
        if path == bad:
            tried.append(path)
        return read_regular(path, limit=limit)

    monkeypatch.setattr(reader, "read_regular", read)

    world.index()
    assert not tried
    world.index(retry_failures=True)
    assert tried == [bad]

    scene(50).save(bad)
    report = world.index()
    assert (report.added, report.failures, world.gallery.failures()) == (1, (), ())


def test_failures_are_retried_when_what_reads_pictures_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when pillow-heif is installed; here a PNG cannot be read at first."""
    late = world.pictures / "late.png"
    scene(60).save(late)
    original = "composir.gallery.reader.read_image"
    missing = ImageReadError("a HEIC picture: pillow-heif is not installed; it comes with an extra")

    def fail(*_: object, **__: object) -> None:
        raise missing

    with monkeypatch.context() as without:
        without.setattr(original, fail)
        assert world.index().failures[0].path == late
        assert len(world.index().failures) == 1
    assert len(world.index().failures) == 1  # nothing that could help has changed

    monkeypatch.setattr("composir.gallery.indexer.decoder_signature", lambda: "with pillow-heif")
    assert counts(world.index()) == (1, 0, 6, 0, 7)
    assert world.gallery.failures() == ()


@pytest.mark.parametrize(
    ("reason", "tries"),
    [("a HEIC picture: pillow-heif is not installed; it comes with", 1), ("not a picture", 0)],
)
def test_failures_of_earlier_versions_are_retried_once_where_a_package_was_missing(
    world: World, monkeypatch: pytest.MonkeyPatch, reason: str, tries: int
) -> None:
    """These kept no signature of what read pictures then."""
    bad = world.pictures / "bad.png"
    bad.write_bytes(b"no picture")
    status = bad.stat()
    old = {"path": str(bad), "reason": reason, "size": status.st_size}
    old["mtime_ns"] = status.st_mtime_ns
    (world.gallery.path / "failures.jsonl").write_text(json.dumps(old))
    tried: list[Path] = []

    def read(path: Path, *, limit: int) -> bytes:
        if path == bad:
            tried.append(path)
        return read_regular(path, limit=limit)

    monkeypatch.setattr(reader, "read_regular", read)
    for _ in range(2):
        world.index()
    assert len(tried) == tries


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

    def fail(path: Path, *, limit: int) -> bytes:
        if path == target:
            raise OSError(5, "Input/output error")
        return read_regular(path, limit=limit)

    with monkeypatch.context() as broken:
        broken.setattr(reader, "read_regular", fail)
        report = world.index()
    assert (report.dropped, report.total, len(report.failures)) == (0, 6, 1)

    assert world.index().failures == ()


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


def test_a_picture_that_fails_its_dimensions_is_still_unique(world: World) -> None:
    """Two corrupt files with the same bytes are two failures."""
    for name in ("a.jpg", "b.jpg"):
        (world.pictures / name).write_bytes(b"same garbage")

    assert len(world.index().failures) == 2


def test_a_huge_file_is_refused_unread(world: World) -> None:
    big = world.pictures / "big.png"
    with big.open("wb") as file:
        file.truncate(300 * 2**20)

    report = world.index()

    assert report.failures[0].path == big
    assert "larger than" in report.failures[0].reason
