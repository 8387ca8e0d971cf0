"""Folders of staged triplets: deterministic, resumable, read as triplets, and clear refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from composir.data.datasets import DatasetFolder
from composir.errors import DatasetError, OutputError
from composir.train.composing.triplet_files import read_triplets
from composir.triplets import made_folder
from composir.triplets.region_edits import Regions
from composir.triplets.staged.props import MaskedPicture, masked_pictures
from composir.triplets.staged.staged_set import StageSettings, make_staged
from tests.unit.triplets.staged_world import REGIONS, masked, masked_world
from tests.unit.triplets.world import rows_of, write_rows


@pytest.fixture
def pictures(tmp_path: Path) -> list[MaskedPicture]:
    return masked_world(tmp_path / "scenes")


def contents(folder: Path) -> dict[str, bytes]:
    """By name; the folder's own name is no part of it."""
    own = json.dumps(folder.name).encode()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(own, b"") for path in files
    }


def test_a_folder_is_a_data_set_and_its_rows_are_triplets(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = make_staged(pictures, out, StageSettings(30, 2))
    assert (made.triplets, made.things, made.pictures) == (30, 4, 4)
    assert sum(made.by_kind.values()) == 30 < sum(made.by_change.values())
    rows = rows_of(out / "queries.jsonl")
    assert {row["group"] for row in rows} == {f"scenes/p{n}/sofa" for n in range(4)}
    assert all(re.fullmatch(r"staged:\w+(\+\w+)?", row["type"]) for row in rows)
    origin = rows[0]["provenance"]
    assert (origin["writer"], origin["thing"], origin["seed"]) == ("stage", "sofa", 2)
    assert len(DatasetFolder(out).images()) == 60
    read = read_triplets(out)
    assert len(read.triplets) + read.repeats == 30
    assert not read.problems
    for row in rows:
        for name in (row["reference"], *row["targets"]):
            with Image.open(out / "images" / f"{name}.jpg") as picture:
                assert picture.size == (320, 320)
    report = json.loads((out / "dataset.json").read_text())["report"]
    assert report["triplets"] == 30
    assert report["kinds"] == made.by_kind


def test_the_same_seed_gives_the_same_bytes_however_many_threads(
    pictures: list[MaskedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_staged(pictures, tmp_path / "a", StageSettings(12, 3))
    monkeypatch.setattr(made_folder, "WORKERS", 5)
    make_staged(pictures[::-1], tmp_path / "b", StageSettings(12, 3))
    make_staged(pictures, tmp_path / "c", StageSettings(12, 4))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_the_first_of_many_are_those_of_few(pictures: list[MaskedPicture], tmp_path: Path) -> None:
    make_staged(pictures, tmp_path / "few", StageSettings(5))
    make_staged(pictures, tmp_path / "many", StageSettings(9))
    many = rows_of(tmp_path / "many" / "queries.jsonl")
    assert rows_of(tmp_path / "few" / "queries.jsonl") == many[:5]


def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(
    pictures: list[MaskedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    make_staged(pictures, whole, StageSettings(8))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", _pulled_plug(Path.replace, after=5))
        with pytest.raises(DatasetError, match=r"cannot write to .*pulled"):
            make_staged(pictures, out, StageSettings(8))
    assert not (out / "queries.jsonl").exists()
    kept = [path for path in out.rglob("*.jpg") if path.read_bytes()]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert 0 < len(kept) < 16
    make_staged(pictures, out, StageSettings(8))
    assert contents(out).keys() - contents(whole).keys() == set()
    assert contents(out) == contents(whole)
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def _pulled_plug(replaced: Callable[[Path, Path], Path], after: int) -> Callable[..., Path]:
    calls: list[Path] = []

    def pull(path: Path, to: Path) -> Path:
        calls.append(path)
        if len(calls) > after:
            raise OSError(5, "pulled")
        return replaced(path, to)

    return pull


def test_other_settings_pictures_or_names_of_regions_are_refused(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make_staged(pictures, out, StageSettings(3))
    before = contents(out)
    renamed = replace(pictures[0], regions=Regions(pictures[0].regions.mask, {"bed": 7}))
    for others, settings in (
        (pictures, StageSettings(4)),
        (pictures, StageSettings(3, 1)),
        (pictures[1:], StageSettings(3)),
        ([renamed, *pictures[1:]], StageSettings(3)),
    ):
        with pytest.raises(DatasetError, match="out holds staged things of other settings or pic"):
            make_staged(others, out, settings)
    Image.new("L", (9, 9)).save(pictures[2].regions.mask)
    with pytest.raises(DatasetError, match="have changed since"):
        make_staged(pictures, out, StageSettings(3))
    assert contents(out) == before


def test_a_folder_of_something_else_is_left_alone(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "edits.json").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        make_staged(pictures, tmp_path / "own", StageSettings(3))
    assert contents(tmp_path / "own") == {"edits.json": b"mine"}


def test_without_masks_it_says_what_a_row_needs(tmp_path: Path) -> None:
    folder = masked(tmp_path / "scenes")
    write_rows(
        folder / "gallery.jsonl",
        [{"id": f"p{n}", "file": f"images/{n}.png"} for n in range(2)],
    )
    with pytest.raises(DatasetError, match=r'no gallery row.*"mask".*"regions".*docs/triplets.md'):
        make_staged(masked_pictures([folder]), tmp_path / "out", StageSettings(3))
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_cut_out_it_says_why(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    names = [replace(one, regions=Regions(one.regions.mask, {"grass": 3})) for one in pictures]
    lost = [replace(one, regions=Regions(one.regions.mask, {"sofa": 99})) for one in pictures[:1]]
    with pytest.raises(
        DatasetError,
        match=r"regions of 4 pictures \(3 whose name .*; 1 of less than 1.5 % .*docs/triplets.md",
    ):
        make_staged(lost + names[1:], tmp_path / "out", StageSettings(3))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_skipped_and_of_nothing_else_refused(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    pictures[0].regions.mask.write_text("no picture")
    pictures[1].file.write_text("no picture")
    made = make_staged(pictures, tmp_path / "out", StageSettings(6))
    assert [file for file, _ in made.skipped] == [str(one.file) for one in pictures[:2]]
    assert made.pictures == 2
    with pytest.raises(DatasetError, match="none of 2 pictures could be read"):
        make_staged(pictures[:2], tmp_path / "none", StageSettings(6))
    assert not (tmp_path / "none").exists()


def test_a_mask_of_another_size_is_laid_over_the_whole_picture(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    for one in pictures:
        with Image.open(one.regions.mask) as mask:
            mask.resize((mask.width * 2, mask.height // 2), 0).save(one.regions.mask)
    made = make_staged(pictures, tmp_path / "out", StageSettings(4))
    assert made.things == 4
    assert not made.skipped


def test_a_region_without_a_value_is_told(tmp_path: Path) -> None:
    folder = masked(tmp_path / "scenes")
    rows = rows_of(folder / "gallery.jsonl")
    write_rows(folder / "gallery.jsonl", [rows[0] | {"regions": REGIONS | {"bed": {}}}, *rows[1:]])
    with pytest.raises(DatasetError, match=r"regions of masks/0.png without a value"):
        masked_pictures([folder])


def test_a_picture_of_two_data_sets_counts_once(
    pictures: list[MaskedPicture], tmp_path: Path
) -> None:
    again = [replace(one, id=f"again/{one.id}") for one in pictures]
    made = make_staged([*pictures, *again], tmp_path / "out", StageSettings(9))
    assert made.things == 4
