"""Pictures to train on: whose split they are of, what texts they have, what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import TrainingError
from composir.train.mapping.caption_bank import neutral_phrases
from composir.train.source_pictures import (
    PictureSources,
    SourcePicture,
    read_pictures,
)
from tests.torch.mapping.data import write_data_set, write_pictures

pytestmark = pytest.mark.torch


def read(*, held_out: set[Path] | None = None, **sources: object) -> list[SourcePicture]:
    return read_pictures(PictureSources(**sources), held_out or set(), lambda _: None)  # type: ignore[arg-type]


def test_a_column_of_splits_decides_and_test_rows_are_left_out(tmp_path: Path) -> None:
    names = ("train", "train", "val", "test")
    folder = write_data_set(tmp_path / "own", 8, split=lambda number: names[number % 4])
    found = read(data=(folder,))

    splits = {str(picture.file)[-6:-4]: picture.split for picture in found}
    assert splits == {"00": "train", "01": "train", "02": "dev"} | {
        "04": "train",
        "05": "train",
        "06": "dev",
    }


def test_a_folder_of_data_sets_is_all_of_them_and_titles_are_texts(tmp_path: Path) -> None:
    write_data_set(tmp_path / "one", 2, title=lambda number: f"Lamp {number}")
    write_data_set(tmp_path / "two", 3)
    found = read(data=(tmp_path,), dev_share=0.0)

    assert [picture.source for picture in found] == ["one"] * 2 + ["two"] * 3
    assert found[1].texts == ("a blue lamp", "Lamp 1")


def test_what_dev_queries_ask_about_is_left_out_also_behind_links(tmp_path: Path) -> None:
    files = write_pictures(tmp_path / "images", 4)
    (tmp_path / "linked").symlink_to(tmp_path / "images")
    found = read(images=(str(tmp_path / "images"),), held_out={tmp_path / "linked" / "01.png"})

    assert [picture.file.name for picture in found] == ["00.png", "02.png", "03.png"]
    assert len(files) == 4


def test_captions_meet_their_pictures_and_strangers_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 2)
    captions = tmp_path / "captions.jsonl"
    rows = [{"file": "01.png", "caption": "a dog"}, {"file": "99.png", "caption": "a cat"}]
    captions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told: list[str] = []
    sources = PictureSources(images=(str(tmp_path / "images"),), captions=captions)
    found = read_pictures(sources, set(), told.append)

    assert [picture.texts for picture in found] == [(), ("a dog",)]
    assert "1 captions without a picture: 99.png" in told
    assert "1 of 2 images have no caption" in told


def test_a_name_that_two_pictures_share_fits_neither(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_pictures(tmp_path / "images" / folder, 2)
    captions = tmp_path / "captions.csv"
    captions.write_text("file,caption\n01.png,a dog\ntwo/00,a lamp\n")
    found = read(images=(str(tmp_path / "images"),), captions=captions)

    assert [picture.texts for picture in found] == [(), (), ("a lamp",), ()]
    with pytest.raises(TrainingError, match="belong to --images"):
        read(data=(write_data_set(tmp_path / "own", 2),), captions=captions)


def test_captions_of_other_pictures_alone_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 2)
    captions = tmp_path / "captions.jsonl"
    captions.write_text('{"file": "99.png", "caption": "a cat"}\n')

    with pytest.raises(TrainingError, match="but of none of the 2 images"):
        read(images=(str(tmp_path / "images"),), captions=captions)


def test_nothing_named_or_nothing_left_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="name data set folders or images"):
        read()
    folder = write_data_set(tmp_path / "own", 2, split=lambda _: "test")
    with pytest.raises(TrainingError, match="no training images are left"):
        read(data=(folder,))
    with pytest.raises(TrainingError, match="for plain pictures use --images"):
        read(data=(folder / "images",))


def test_the_neutral_phrases_are_many_distinct_and_fixed() -> None:
    phrases = neutral_phrases()

    assert len(phrases) == len(set(phrases)) > 500
    assert phrases == neutral_phrases()
