from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from composir.data.places import GALLERY_MANIFEST
from composir.errors import GalleryError
from composir.images.scan import INDEXED, FoundFile, scan
from composir.types import Failure
from tests import pictures

posix = pytest.mark.skipif(os.name != "posix", reason="links and pipes are made on POSIX only")


def plant(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return root


def names(found: Iterator[FoundFile | Failure], root: Path) -> list[str]:
    items = list(found)
    assert not [item for item in items if isinstance(item, Failure)]
    return [item.path.relative_to(root).as_posix() for item in items]


def failures(found: Iterator[FoundFile | Failure]) -> dict[str, str]:
    return {item.path.name: item.reason for item in found if isinstance(item, Failure)}


def test_finds_pictures_in_order_of_name(tmp_path: Path) -> None:
    plant(tmp_path, "b.JPG", "a/z.png", "a/sub/deep.webp", "c.heic", "notes.txt", "README", "d.xcf")
    assert names(scan([tmp_path]), tmp_path) == ["a/sub/deep.webp", "a/z.png", "b.JPG", "c.heic"]


def test_files_that_hold_pictures_are_found_for_a_gallery_alone(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "b.tar", "c.Parquet", "d.arrow", "e.txt")
    (tmp_path / "f.tar").symlink_to(tmp_path / "b.tar")

    assert names(scan([tmp_path]), tmp_path) == ["a.jpg"]
    indexed = names(scan([tmp_path], endings=INDEXED), tmp_path)
    assert indexed == ["a.jpg", "b.tar", "c.Parquet", "d.arrow"]


def test_says_what_the_pipeline_needs(tmp_path: Path) -> None:
    path = plant(tmp_path, "a.jpg") / "a.jpg"
    os.utime(path, ns=(1, 123_456_789_000))
    assert list(scan([tmp_path])) == [FoundFile(path, tmp_path, 7, 123_456_789_000)]


def test_strange_names(tmp_path: Path) -> None:
    strange = [
        "with space.jpg",
        "ünï😀.jpg",
        "line\nbreak.jpg",
        "日本/写真.png",
        "-rf.jpg",
        "*.gif",
    ]
    if os.name == "posix":
        strange.append(os.fsdecode(b"latin-\xe9.jpg"))
    plant(tmp_path, *strange)
    assert sorted(names(scan([tmp_path]), tmp_path)) == sorted(strange)


def test_relative_roots_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "photos/a.jpg")
    monkeypatch.chdir(tmp_path)
    (found,) = scan([Path("photos/../photos")])
    assert isinstance(found, FoundFile)
    assert (found.path, found.root) == (tmp_path / "photos/a.jpg", tmp_path / "photos")


def test_hidden_system_and_gallery_folders_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", ".hidden/b.jpg", "._a.jpg", "@eaDir/a.jpg", "sub/.git/x.png")
    plant(tmp_path, f"gallery/{GALLERY_MANIFEST}", "gallery/thumbnail.jpg", "gallery/deep/b.jpg")
    assert names(scan([tmp_path]), tmp_path) == ["a.jpg"]
    assert names(scan([tmp_path / ".hidden"]), tmp_path) == [".hidden/b.jpg"]


def test_a_gallery_as_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="is a gallery that composir made"):
        scan([plant(tmp_path, GALLERY_MANIFEST)])


def test_a_missing_root_is_refused_before_anything_is_found(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="photoz: No such file"):
        scan([plant(tmp_path, "a.jpg"), tmp_path / "photoz"])


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    assert list(scan([tmp_path])) == []


class TestSingleFiles:
    def test_a_file_is_its_own_root_whatever_its_name(self, tmp_path: Path) -> None:
        path = plant(tmp_path, "scan-without-ending") / "scan-without-ending"
        assert [(f.path, f.root) for f in scan([path]) if isinstance(f, FoundFile)] == [
            (path, path)
        ]

    def test_is_found_once_beside_its_folder(self, tmp_path: Path) -> None:
        plant(tmp_path, "a.jpg", "b.jpg")
        for roots in ([tmp_path, tmp_path / "a.jpg"], [tmp_path / "a.jpg", tmp_path]):
            assert names(scan(roots), tmp_path) == ["a.jpg", "b.jpg"]
        twice = [tmp_path / "a.jpg", tmp_path / "a.jpg"]
        assert names(scan(twice), tmp_path) == ["a.jpg"]


def test_overlapping_roots_give_each_file_once(tmp_path: Path) -> None:
    plant(tmp_path, "2020/a.jpg", "2021/b.jpg")
    roots = [tmp_path / "2020", tmp_path, tmp_path / "2021"]
    assert sorted(names(scan(roots), tmp_path)) == ["2020/a.jpg", "2021/b.jpg"]


class TestExclude:
    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        return plant(tmp_path, "a.jpg", "a.gif", "trash/b.jpg", "2020/raw/c.jpg", "2020/d.jpg")

    @pytest.mark.parametrize(
        ("patterns", "left"),
        [
            (["*.gif"], ["2020/d.jpg", "2020/raw/c.jpg", "a.jpg", "trash/b.jpg"]),
            (["trash"], ["2020/d.jpg", "2020/raw/c.jpg", "a.gif", "a.jpg"]),
            (["trash/"], ["2020/d.jpg", "2020/raw/c.jpg", "a.gif", "a.jpg"]),
            (["2020/raw"], ["2020/d.jpg", "a.gif", "a.jpg", "trash/b.jpg"]),
            (["*/raw/*", "a.*", "trash"], ["2020/d.jpg"]),
            (["*"], []),
        ],
    )
    def test_patterns(self, photos: Path, patterns: list[str], left: list[str]) -> None:
        assert names(scan([photos], exclude=patterns), photos) == left

    def test_an_excluded_folder_is_not_entered(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entered: list[str] = []
        scandir = os.scandir

        def noted(path: str) -> object:
            entered.append(Path(path).name)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", noted)
        list(scan([photos], exclude=["2020"]))
        assert entered == [photos.name, "trash"]


@posix
class TestLinks:
    def test_loops_end(self, tmp_path: Path) -> None:
        plant(tmp_path, "a/b/c.jpg")
        (tmp_path / "a/b/up").symlink_to("../..")
        (tmp_path / "a/self").symlink_to(".")
        (tmp_path / "a/above").symlink_to(tmp_path.parent)
        assert names(scan([tmp_path]), tmp_path) == ["a/b/c.jpg"]

    def test_the_real_file_wins_over_links_to_it(self, tmp_path: Path) -> None:
        plant(tmp_path, "z/real.jpg")
        (tmp_path / "a-link.jpg").symlink_to("z/real.jpg")
        (tmp_path / "b-folder").symlink_to("z")
        assert names(scan([tmp_path]), tmp_path) == ["z/real.jpg"]

    def test_links_out_of_the_root_are_followed_once(self, tmp_path: Path) -> None:
        plant(tmp_path, "store/x.jpg", "store/y.jpg", "other/z.jpg", "photos/a.jpg")
        photos = tmp_path / "photos"
        (photos / "one.jpg").symlink_to("../store/x.jpg")
        (photos / "two.jpg").symlink_to("../store/x.jpg")
        (photos / "other").symlink_to("../other")
        (photos / "again").symlink_to("../other")
        assert names(scan([photos]), photos) == ["a.jpg", "again/z.jpg", "one.jpg"]

    def test_pictures_kept_in_a_hidden_store_are_found_through_their_links(
        self, tmp_path: Path
    ) -> None:
        plant(tmp_path, ".git/annex/SHA256-1")
        (tmp_path / "cat.jpg").symlink_to(".git/annex/SHA256-1")
        (tmp_path / "same-cat.jpg").symlink_to(".git/annex/SHA256-1")
        assert names(scan([tmp_path]), tmp_path) == ["cat.jpg"]

    def test_a_root_may_be_a_link(self, tmp_path: Path) -> None:
        plant(tmp_path, "real/a.jpg")
        (tmp_path / "photos").symlink_to("real")
        roots = [tmp_path / "photos"]
        assert names(scan(roots), tmp_path) == ["photos/a.jpg"]

    def test_special_files_and_broken_links_are_failures(self, tmp_path: Path) -> None:
        pictures.write_special_files(tmp_path)
        plant(tmp_path, "folder.jpg/inside.jpg")
        (tmp_path / "broken.txt").symlink_to("nowhere")
        found = list(scan([tmp_path]))
        assert failures(iter(found)) == {
            "broken-link.jpg": "broken link to nowhere.jpg",
            "loop.jpg": "cannot be looked at: Too many levels of symbolic links",
            "pipe.jpg": "not a regular file (a pipe, socket or device)",
            "socket.jpg": "not a regular file (a pipe, socket or device)",
        }
        assert [f.path.name for f in found if isinstance(f, FoundFile)] == ["inside.jpg"]


def test_an_unreadable_folder_is_reported_and_the_rest_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "a/1.jpg", "locked/2.jpg", "z/3.jpg")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = list(scan([tmp_path]))
    assert failures(iter(found)) == {"locked": "folder cannot be read: Permission denied"}
    assert [f.path.name for f in found if isinstance(f, FoundFile)] == ["1.jpg", "3.jpg"]


def test_a_file_that_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    found = scan([tmp_path])
    first = next(found)
    (tmp_path / "b.jpg").unlink()
    assert [item.path.name for item in (first, *found)] == ["a.jpg", "c.jpg"]


def test_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, *(f"{folder}/{number}.jpg" for folder in range(9) for number in range(3)))
    listed: list[str] = []
    scandir = os.scandir

    def noted(path: str) -> object:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert len(list(islice(scan([tmp_path]), 4))) == 4
    assert len(listed) == 3  # the root and the first two folders


def test_very_deep_folders(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "bottom.jpg").write_bytes(b"x")
    assert len(list(scan([tmp_path]))) == 1
