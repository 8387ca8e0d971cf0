"""Patterns of what is left out: as people type them, and as they are remembered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from composir.data.excludes import Excludes
from composir.data.volumes import Volume, volume_of
from composir.errors import GalleryError
from composir.images.scan import FoundFile, ScanNotes, scan

FILES = ("photos/raw/1.jpg", "photos/sub/raw/2.jpg", "photos/3.jpg", "photos/4.gif")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path / "photos"


def left(roots: Sequence[Path], excludes: Excludes) -> set[int]:
    """Numbers of the files that are found."""
    found = scan(roots, exclude=excludes)
    return {int(item.path.stem) for item in found if isinstance(item, FoundFile)}


@pytest.mark.parametrize(
    ("pattern", "numbers", "remembered"),
    [
        ("raw", {3, 4}, "raw"),
        ("raw/", {3, 4}, "raw"),
        ("/raw", {2, 3, 4}, "/raw"),
        ("photos/raw", {2, 3, 4}, "/raw"),
        ("./photos/raw/", {2, 3, 4}, "/raw"),
        ("photos/*.gif", {1, 2, 3}, "/*.gif"),
        ("../{parent}/photos/raw", {2, 3, 4}, "/raw"),
        ("{folder}/raw", {2, 3, 4}, "/raw"),
        ("~/photos/raw", {2, 3, 4}, "/raw"),
        ("sub/raw", {1, 3, 4}, "/sub/raw"),
        ("*/raw", {1, 3, 4}, "/*/raw"),
        ("*/raw/*", {1, 3, 4}, "/*/raw/*"),
    ],
)
def test_a_place_is_understood_in_every_spelling(
    photos: Path, pattern: str, numbers: set[int], remembered: str
) -> None:
    typed = pattern.format(folder=photos, parent=photos.parent.name)
    excludes = Excludes([photos], [typed])

    assert left([photos], excludes) == numbers
    assert excludes.unmatched() == ()
    kept = excludes.to_remember(photos)
    assert kept == (remembered,)
    assert left([photos], Excludes([photos], [], {str(photos): kept})) == numbers


def test_a_place_below_the_current_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos / "sub")

    assert left([photos], Excludes([photos], ["./raw"])) == {1, 3, 4}
    assert left([photos], Excludes([photos], ["../raw"])) == {2, 3, 4}


@pytest.mark.parametrize("pattern", ["rwa", "photos", "/elsewhere/raw", "../raw", "raw/9.jpg"])
def test_a_pattern_that_matches_nothing_is_named_as_typed(photos: Path, pattern: str) -> None:
    excludes = Excludes([photos], [pattern, "*.gif"])

    assert left([photos], excludes) == {1, 2, 3}
    assert excludes.unmatched() == (pattern,)


def test_files_that_are_no_pictures_count_as_matched_and_not_as_other_kinds(photos: Path) -> None:
    (photos / "movie.mov").touch()
    (photos / "notes.txt").touch()
    excludes, notes = Excludes([photos], ["*.mov"]), ScanNotes()

    list(scan([photos], exclude=excludes, notes=notes))

    assert excludes.unmatched() == ()
    assert notes.other_kinds == {".txt": 1}


def test_each_root_remembers_its_own(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    excludes = Excludes([photos, other], ["photos/raw", "thumbs"])
    left([photos, other], excludes)

    assert excludes.to_remember(photos) == ("/raw", "thumbs")
    assert excludes.to_remember(other) == ("thumbs",)


def test_a_folder_inside_of_a_root_is_indexed_with_the_patterns_of_that(photos: Path) -> None:
    remembered = {str(photos): ("*.gif", "/sub/raw")}
    (photos / "sub" / "5.gif").touch()
    (photos / "sub" / "6.jpg").touch()

    assert left([photos / "sub"], Excludes([photos / "sub"], [], remembered)) == {6}
    raw = photos / "raw"
    assert left([raw], Excludes([raw], [], remembered)) == {1}


@pytest.mark.parametrize("pattern", ["", " ", "/", "//"])
def test_an_empty_pattern_is_refused(photos: Path, pattern: str) -> None:
    with pytest.raises(GalleryError, match=r"is empty.*--no-exclude"):
        Excludes([photos], [pattern])


def test_odd_endings_are_counted_together() -> None:
    notes = ScanNotes()
    for number in range(1000):
        notes.count_other(f"file.{number:x}x")
    for name in ("a.this is a sentence.", "b.\x1b[31m", "c." + "x" * 300, "README"):
        notes.count_other(name)

    assert len(notes.other_kinds) <= 202
    assert sum(notes.other_kinds.values()) == 1004
    assert max(map(len, notes.other_kinds)) <= 12


def test_a_volume_is_the_disk_that_a_folder_lies_on(photos: Path, tmp_path: Path) -> None:
    volume = volume_of(photos)

    assert volume is not None
    assert photos.is_relative_to(volume.folder) or photos.resolve().is_relative_to(volume.folder)
    assert volume.is_there()
    assert not Volume(str(photos), volume.device + 1).is_there()
    assert not Volume(str(tmp_path / "gone"), volume.device).is_there()
    assert volume_of(tmp_path / "gone") is None
