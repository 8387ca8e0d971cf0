"""Data set folders: what the one reader gives, whoever asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from composir.data.datasets import DatasetFolder, no_split, splits_of
from composir.data.fields import FileRow, Finite, Name, Number, Told
from composir.data.schema import as_row
from composir.errors import DatasetError, GalleryError

ROWS: list[dict[str, Any]] = [
    {"id": 1, "file": "images/a.jpg", "split": "train", "colour": "red", "note": None},
    {"id": "b", "file": "images/caf\udce9.jpg", "captions": ["half \ud83d of one"]},
]


def write(folder: Path, rows: list[dict[str, Any]]) -> DatasetFolder:
    folder.mkdir(exist_ok=True)
    (folder / "gallery.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DatasetFolder(folder)


def test_images_have_names_files_splits_and_all_else_as_metadata(tmp_path: Path) -> None:
    images = write(tmp_path, ROWS).images()
    assert list(images) == ["1", "b"]
    assert images["1"].metadata == {"colour": "red", "split": "train"}
    assert images["1"].where.endswith("gallery.jsonl, line 1")
    assert (images["1"].split, images["b"].split) == ("train", None)
    assert images["b"].file == tmp_path / "images" / "caf\udce9.jpg"
    assert images["b"].metadata == {"captions": ["half \ud83d of one"]}
    assert splits_of(images.values()) == ("train",)


def test_results_cannot_hold_half_a_pair_so_their_readers_refuse_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 2: half of a surrogate pair"):
        write(tmp_path, ROWS).images(halves=False)


def test_a_split_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    told = str(no_split(tmp_path, "rows", "dev", ["a", "b"]))
    assert told == f"{tmp_path}: no rows of split 'dev'; it has 'a', 'b'"
    assert str(no_split(tmp_path, "rows", "dev", [])).endswith("none of them names a split")


class Some(FileRow):
    name: Name = ""
    number: Number = ""
    told: Told = ""
    box: tuple[Finite, Finite] = (0, 0)
    inner: tuple[FileRow, ...] = ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"must be an object, not \[\]"),
        ({"name": True}, "'name' must be a text or a whole number, not true"),
        ({"number": "x"}, "'number' must be a whole number, not \"x\""),
        ({"number": False}, "'number' must be a whole number, not false"),
        ({"box": [1, "2"]}, "'box.1' must be a number, not \"2\""),
        ({"box": [1, float("nan")]}, r"'box.1' .*finite"),
        ({"box": [1]}, "no 'box.1'"),
        ({"inner": [{}, 5]}, "'inner.1' must be an object, not 5"),
    ],
)
def test_what_does_not_fit_is_told_by_place_and_key(value: object, message: str) -> None:
    with pytest.raises(GalleryError, match=f"^f, line 3: {message}"):
        as_row("f, line 3", value, Some, GalleryError)


def test_what_fits_is_read_as_it_is_meant() -> None:
    row = as_row("f", {"name": 5, "number": 7, "told": [1], "box": [1, 2.5]}, Some, GalleryError)
    assert (row.name, row.number, row.told, row.box) == ("5", "7", "[1]", (1.0, 2.5))
