"""Pictures and what is known about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from composir.errors import DatasetError
from composir.triplets import read_captioned, read_data_set
from tests.unit.triplets.world import captioned, rows_of, shop, write_rows


def test_captions_find_their_pictures_by_path_name_or_stem(tmp_path: Path) -> None:
    photos, _ = captioned(tmp_path, ["red", "green", "blue"])
    (photos / "deep").mkdir()
    (photos / "blue.png").rename(photos / "deep" / "blue.png")
    table = tmp_path / "table.csv"
    table.write_text(
        "file,caption,mood\nred.png,A red wall,calm\ngreen,green,\ndeep/blue.png,b,x\n"
    )
    source = read_captioned(photos, table)
    assert [image.id for image in source.images] == ["deep/blue.png", "green.png", "red.png"]
    assert source.images[2].captions == ("A red wall",)
    assert source.images[2].attributes == {"mood": "calm"}


def test_several_rows_and_lists_speak_of_one_picture(tmp_path: Path) -> None:
    photos, _ = captioned(tmp_path, ["red", "green"])
    table = tmp_path / "many.jsonl"
    rows = [
        {"image": "red.png", "captions": ["one", "two"]},
        {"image": "./red.png", "captions": ["two", "three"]},
        {"image": "green.png", "captions": ["four"]},
    ]
    write_rows(table, rows)
    source = read_captioned(photos, table)
    assert source.images[1].captions == ("one", "two", "three")


def test_captions_of_unknown_pictures_are_counted_and_named(tmp_path: Path) -> None:
    photos, table = captioned(tmp_path, ["red", "green", "blue"])
    write_rows(table, [*rows_of(table)[:2], {"file": "gone.png", "caption": "gone"}])
    source = read_captioned(photos, table)
    assert source.notices == (
        "1 captions without a picture: gone.png",
        "1 pictures without a caption are left out",
    )


def test_a_table_of_other_pictures_is_an_error(tmp_path: Path) -> None:
    photos, table = captioned(tmp_path, ["red", "green"])
    write_rows(table, [{"file": "elsewhere.png", "caption": "gone"}])
    with pytest.raises(DatasetError, match=r"speaks of 1 pictures \(elsewhere.png\), but of none"):
        read_captioned(photos, table)


def test_a_table_without_a_column_of_names_is_an_error(tmp_path: Path) -> None:
    photos, table = captioned(tmp_path, ["red", "green"])
    write_rows(table, [{"caption": "whose?"}])
    with pytest.raises(DatasetError, match="no column names the pictures; call it 'file'"):
        read_captioned(photos, table)


def test_one_picture_is_not_enough(tmp_path: Path) -> None:
    photos, table = captioned(tmp_path, ["red"])
    with pytest.raises(DatasetError, match="a pair needs two pictures, and there is 1"):
        read_captioned(photos, table)


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    _, table = captioned(tmp_path, ["red"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no pictures below"):
        read_captioned(tmp_path / "empty", table)


def test_a_data_set_gives_captions_and_attributes(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop")
    rows = rows_of(folder / "gallery.jsonl")
    write_rows(
        folder / "gallery.jsonl", [rows[0] | {"captions": ["a cup", " "], "price": 3}, rows[1]]
    )
    (folder / "dataset.json").write_text('{"name": "shop", "licence": "CC0"}')
    source = read_data_set(folder)
    assert source.licence == "CC0"
    assert source.images[0].captions == ("a cup",)
    assert set(source.images[0].attributes) == {"title", "colour", "kind"}
    assert source.images[0].row["price"] == 3


def test_rows_can_be_chosen_by_ids_or_by_split(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop")
    ids = tmp_path / "ids.txt"
    ids.write_text('cup-red\n{"id": "cup-blue"}\n')
    assert [image.id for image in read_data_set(folder, only=ids).images] == ["cup-red", "cup-blue"]
    rows = rows_of(folder / "gallery.jsonl")
    write_rows(folder / "gallery.jsonl", [r | {"split": r["kind"]} for r in rows])
    assert {image.attributes["kind"] for image in read_data_set(folder, split="lamp").images} == {
        "lamp"
    }
    with pytest.raises(DatasetError, match=r"no rows of split 'dev'; it has 'chair', 'cup'"):
        read_data_set(folder, split="dev")


def test_files_without_rows_are_refused_in_finished_sentences(tmp_path: Path) -> None:
    photos, _ = captioned(tmp_path, ["red", "green"])
    (tmp_path / "table.csv").write_text("file,caption\n")
    with pytest.raises(DatasetError, match=r"table\.csv: it has no rows; a row is, e\.g\., .*\}$"):
        read_captioned(photos, tmp_path / "table.csv")
    folder = shop(tmp_path / "shop")
    with pytest.raises(DatasetError, match=r"'dev'; none of them names a split$"):
        read_data_set(folder, split="dev")
    ids = tmp_path / "ids.txt"
    ids.write_text("\n")
    with pytest.raises(DatasetError, match=r"ids\.txt: it names no pictures; write one id a line"):
        read_data_set(folder, only=ids)
    (folder / "gallery.jsonl").write_text("\n")
    with pytest.raises(DatasetError, match=r"gallery\.jsonl: the gallery is empty; .*\}$"):
        read_data_set(folder)


def test_an_id_that_is_not_there_is_named(tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("cup-red\ncup-purple\n")
    with pytest.raises(DatasetError, match=r"1 of its ids are not in .*: cup-purple"):
        read_data_set(shop(tmp_path / "shop"), only=ids)


def test_missing_files_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop")
    (folder / "images" / "cup-red.png").unlink()
    source = read_data_set(folder)
    assert len(source.images) == 14
    assert source.notices == ("1 pictures whose file is missing are left out: cup-red",)


def test_twins_and_bad_lines_are_named(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop")
    rows = rows_of(folder / "gallery.jsonl")
    write_rows(folder / "gallery.jsonl", [rows[0], rows[0]])
    with pytest.raises(DatasetError, match="line 2: the gallery id 'cup-red' comes twice"):
        read_data_set(folder)
    (folder / "gallery.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(DatasetError, match="line 1: no 'file'"):
        read_data_set(folder)
