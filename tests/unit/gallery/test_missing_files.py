"""Searching a gallery some of whose files are gone, or on a disk that is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from composir.data.volumes import Volume
from composir.errors import QueryError
from composir.gallery import Gallery
from composir.gallery.manifest import RootFacts, read_manifest
from composir.types import Absent, Query, SearchResult
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.pictures import plain

RED = Query(text="red")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, colour in COLOURS.items():
        plain(tmp_path / "pictures" / f"{name}.png", colour)
    return tmp_path / "pictures"


@pytest.fixture
def gallery(tmp_path: Path, pictures: Path) -> Gallery:
    made = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    made.index([pictures])
    return made


def names(result: SearchResult) -> list[str]:
    return [hit.path.stem for hit in result.hits]


def test_deleted_files_are_left_out_and_counted(gallery: Gallery, pictures: Path) -> None:
    before = names(gallery.search(RED, k=8))
    for name in before[:2]:
        (pictures / f"{name}.png").unlink()

    result = gallery.search(RED, k=3)

    assert names(result) == before[2:5]
    assert [hit.rank for hit in result.hits] == [1, 2, 3]
    assert result.absent == Absent(2, (pictures,), ())
    everything = gallery.search(RED, k=8, missing="keep")
    assert (names(everything), everything.absent) == (before, Absent())


def test_only_what_would_be_shown_is_looked_for(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    original = Path.stat

    def noted(path: Path, **settings: bool) -> os.stat_result:
        if path.suffix == ".png":
            looked.append(path.stem)
        return original(path, **settings)

    monkeypatch.setattr(Path, "stat", noted)
    shown = names(gallery.search(RED, k=2))
    assert looked == shown
    looked.clear()
    gallery.search(RED, k=2, missing="keep")
    assert looked == []


def test_a_living_copy_stands_in_for_a_deleted_file(gallery: Gallery, pictures: Path) -> None:
    copies = [shutil.copy(pictures / "red.png", pictures / f"copy{n}.png") for n in (1, 2)]
    gallery.index([pictures])
    first = gallery.search(RED, k=1).hits[0]
    first.path.unlink()

    result = gallery.search(RED, k=1)

    left = {pictures / "red.png", *copies} - {first.path}
    assert {result.hits[0].path, *result.hits[0].duplicates} == left
    assert result.absent.left_out == 1
    apart = gallery.search(RED, k=2, collapse_duplicates=False)
    assert {hit.path for hit in apart.hits} == left


def test_a_folder_that_is_missing_as_a_whole_keeps_its_hits_and_marks_them(
    gallery: Gallery, pictures: Path
) -> None:
    pictures.rename(pictures.with_name("elsewhere"))

    result = gallery.search(RED, k=2)

    assert [hit.unreachable for hit in result.hits] == [True, True]
    assert result.absent == Absent(0, (), (pictures,))
    assert not any(hit.unreachable for hit in gallery.search(RED, missing="keep").hits)


@pytest.mark.parametrize("place", [".", "trip"])
def test_a_disk_that_is_not_mounted_keeps_its_hits(
    gallery: Gallery, pictures: Path, place: str
) -> None:
    """Its folder is there, and empty: beneath the root, or the root itself."""
    trip = pictures / "trip" / "rose.png"
    plain(trip, (250, 0, 0))
    gallery.index([pictures])
    manifest = read_manifest(gallery.path)
    own = manifest.facts(str(pictures)).volumes[0]
    away = Volume(str(pictures / place), -1)
    facts = RootFacts((), (away,) if place == "." else (own, away))
    manifest.with_roots({str(pictures): facts}).write(gallery.path)
    trip.unlink()

    result = gallery.search(RED, k=2)

    assert {hit.path.stem: hit.unreachable for hit in result.hits} == {"red": False, "rose": True}
    assert result.absent == Absent(0, (), (pictures,))


def test_a_folder_deleted_from_a_root_inside_another_is_gone(
    gallery: Gallery, pictures: Path
) -> None:
    trip = pictures / "trip"
    plain(trip / "rose.png", (250, 0, 0))
    gallery.index([trip])
    shutil.rmtree(trip)

    result = gallery.search(RED, k=3)

    assert "rose" not in names(result)
    assert (len(result.hits), result.absent) == (3, Absent(1, (trip,), ()))


def test_a_single_file_as_root_is_gone_when_it_is(tmp_path: Path) -> None:
    path = plain(tmp_path / "red.png", "red")
    made = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    made.index([path])
    path.unlink()

    assert made.search(RED).absent == Absent(1, (path,), ())


@pytest.mark.skipif(os.name != "posix", reason="links are made on POSIX only")
def test_a_broken_link_is_no_deleted_file(gallery: Gallery, pictures: Path, tmp_path: Path) -> None:
    (pictures / "red.png").rename(tmp_path / "store.png")
    (pictures / "red.png").symlink_to(tmp_path / "store.png")
    (tmp_path / "store.png").unlink()

    assert gallery.search(RED, k=1).hits[0].unreachable


def test_a_gallery_of_deleted_files_ends_its_search(gallery: Gallery, pictures: Path) -> None:
    for path in pictures.iterdir():
        path.unlink()

    result = gallery.search(RED, k=2)

    assert (result.hits, result.absent.left_out) == ((), 8)
    assert len(gallery.search(RED, k=2, missing="keep").hits) == 2


def test_a_search_does_not_look_through_a_whole_gallery_of_deleted_files(
    gallery: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composir.gallery.search._EXTRA_CANDIDATES", 0)
    monkeypatch.setattr("composir.gallery.search._MOST_GONE", 2)
    for name in names(gallery.search(RED, k=3)):
        (pictures / f"{name}.png").unlink()

    assert gallery.search(RED, k=1).absent.left_out == 2


def test_an_unknown_way_with_missing_files_is_refused(gallery: Gallery) -> None:
    with pytest.raises(QueryError, match=r"missing is 'drop'; it can be: hide, keep"):
        gallery.search(RED, missing="drop")  # type: ignore[arg-type]
