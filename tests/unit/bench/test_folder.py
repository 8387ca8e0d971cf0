"""The folder format: what it means, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from composir.bench.datasets import find_dataset
from composir.bench.task import LoadOptions, Task
from composir.errors import DatasetError
from tests.unit.bench.makers import CARD, QUERIES, write_folder, write_lines
from tests.unit.bench.shared import data_folder


def load(folder: Path, split: str | None = None) -> Task:
    return find_dataset(str(folder))[0].load(folder, LoadOptions(split))[0]


def test_a_folder_is_read_as_it_says(tmp_path: Path) -> None:
    task = load(write_folder(tmp_path / "set"))
    assert task.gallery[:2] == ("red", "green")
    assert task.queries[0].reference == "red"
    assert task.queries[4].reference is None
    assert task.exclude_reference
    assert task.headline == "recall@1"


def test_splits_are_those_that_queries_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    assert find_dataset(str(folder))[0].splits == ("all", "dev", "test")
    assert [query.id for query in load(folder, "test").queries] == ["q2", "q3", "q4"]


def test_a_reference_may_be_a_file(tmp_path: Path) -> None:
    asked = [{"id": "q", "reference": "images/red.png", "text": "green", "targets": ["yellow"]}]
    assert load(write_folder(tmp_path / "set", queries=asked)).queries[0].reference == "red"


def test_aspects_come_from_a_list_or_from_the_type(tmp_path: Path) -> None:
    asked = [QUERIES[0] | {"aspects": ["a", "b"]}, QUERIES[1] | {"type": "colour"}, QUERIES[2]]
    queries = load(write_folder(tmp_path / "set", queries=asked)).queries
    assert [query.aspects for query in queries] == [("a", "b"), ("colour",), ()]


def test_the_checksum_changes_with_the_annotations(tmp_path: Path) -> None:
    one = load(write_folder(tmp_path / "one")).checksum
    assert load(write_folder(tmp_path / "two")).checksum == one
    assert load(write_folder(tmp_path / "three", queries=QUERIES[:3])).checksum != one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ["purple"]}, r"queries.jsonl, line 2: the target 'purple' is not in the"),
        ({"reference": "purple"}, r"queries.jsonl, line 2: the reference 'purple' is neither"),
        ({"targets": []}, r"queries.jsonl, line 2: no 'targets'"),
        ({"targets": ["cyan", "cyan"]}, r"queries.jsonl, line 2: target 'cyan' comes twice"),
        ({"targets": ["red"]}, r"line 2: the reference 'red' is also a target"),
        ({"subset": ["purple"]}, r"line 2: the subset member 'purple' is not in the gallery"),
        ({"reference": None, "text": " "}, r"line 2: neither 'reference' nor 'text'"),
        ({"id": "q0"}, r"query id 'q0' comes twice"),
    ],
)
def test_a_bad_query_is_named_by_file_and_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = write_folder(tmp_path / "set", queries=[QUERIES[0], QUERIES[1] | change])
    with pytest.raises(DatasetError, match=message):
        load(folder)


def test_duplicate_gallery_ids_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", colours=["red", "yellow", "red"])
    with pytest.raises(DatasetError, match=r"gallery.jsonl, line 3: the gallery id 'red' comes"):
        load(folder)


def test_a_gallery_line_without_file_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    write_lines(folder / "gallery.jsonl", [{"id": "red"}])
    with pytest.raises(DatasetError, match=r"gallery.jsonl, line 1: no 'file'"):
        load(folder)


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / "queries.jsonl").write_text(json.dumps(QUERIES[0]) + "\n\n{oops\n")
    with pytest.raises(DatasetError, match=r"queries.jsonl, line 3: not JSON"):
        load(folder)
    (folder / "queries.jsonl").write_text("[1]\n")
    with pytest.raises(DatasetError, match=r"queries.jsonl, line 1: no 'id'"):
        load(folder)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"no queries of split 'train'; it has 'dev', 'test'"):
        load(folder, "train")
    write_lines(folder / "gallery.jsonl", [])
    with pytest.raises(DatasetError, match=r"gallery.jsonl: the gallery is empty"):
        load(folder)


def test_a_bad_card_is_refused(tmp_path: Path) -> None:
    unnamed = {key: value for key, value in CARD.items() if key != "name"}
    with pytest.raises(DatasetError, match=r"dataset.json: no 'name'"):
        load(write_folder(tmp_path / "one", card=unnamed))
    with pytest.raises(DatasetError, match=r"dataset.json: unknown metric 'precision@5'"):
        load(write_folder(tmp_path / "two", card=CARD | {"metrics": ["precision@5"]}))
    folder = write_folder(tmp_path / "three")
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"dataset.json: holds a list, not a dict"):
        load(folder)


def test_files_of_other_encodings_and_missing_ones_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / "queries.jsonl").write_bytes(b'{"id": "\xff\xfe"}\n')
    with pytest.raises(DatasetError, match=r"queries.jsonl: not UTF-8 text"):
        load(folder)
    (folder / "queries.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"queries.jsonl: this file is missing"):
        load(folder)
    with pytest.raises(DatasetError, match="neither a known data set"):
        find_dataset(str(tmp_path / "nothing"))
    with pytest.raises(DatasetError, match=r"dataset.json: this annotation file is missing"):
        find_dataset(str(tmp_path))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "queries", "images"),
    [("fashion-recolour", 3000, 5047), ("pacs-domains", 2100, 2780), ("flickr8k-dev", 5000, 1000)],
)
def test_the_development_sets_are_read(name: str, queries: int, images: int) -> None:
    task = load(data_folder(name))
    assert (len(task.queries), len(task.gallery)) == (queries, images)
