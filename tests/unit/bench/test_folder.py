"""The folder format: what it means, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from composir.bench.datasets import find_dataset
from composir.bench.task import BenchTask, LoadOptions
from composir.errors import DatasetError
from tests.unit.bench.makers import CARD, QUERIES, write_folder, write_lines
from tests.unit.bench.shared import data_folder


def load(folder: Path, split: str | None = None) -> BenchTask:
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


def test_a_query_names_its_group_or_its_reference_does(tmp_path: Path) -> None:
    asked = [QUERIES[0] | {"group": 7}, QUERIES[2], QUERIES[4]]
    plain = load(write_folder(tmp_path / "plain", queries=asked)).queries
    assert [query.group for query in plain] == ["7", "", ""]
    assert [query.unit for query in plain] == ["7", "green", "white cyan"]

    folder = write_folder(tmp_path / "set", card=CARD | {"group": ["kind", "file"]}, queries=asked)
    rows = [json.loads(line) for line in (folder / "gallery.jsonl").read_text().splitlines()]
    write_lines(folder / "gallery.jsonl", [row | {"kind": 1, "shop": row["id"]} for row in rows])
    with pytest.raises(DatasetError, match=r"no 'file', which dataset.json names as 'group'"):
        load(folder)
    (folder / "dataset.json").write_text(json.dumps(CARD | {"group": ["kind", "shop"]}))
    assert [query.group for query in load(folder).queries] == ["7", "1, green", "1, white"]


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
    with pytest.raises(DatasetError, match=r"queries.jsonl, line 1: must be an object, not \[1\]"):
        load(folder)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"no queries of split 'train'; it has 'dev', 'test'"):
        load(folder, "train")
    write_lines(folder / "queries.jsonl", [{k: v for k, v in QUERIES[0].items() if k != "split"}])
    with pytest.raises(DatasetError, match=r"no queries of split 'dev'; none of them names a spl"):
        load(folder, "dev")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gallery", r"gallery\.jsonl: the gallery is empty; a row is, e\.g\., \{.*\}"),
        ("queries", r"queries\.jsonl: it has no queries; a row is, e\.g\., \{.*\}"),
    ],
)
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused_in_a_finished_sentence(
    tmp_path: Path, name: str, message: str, content: str
) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / f"{name}.jsonl").write_text(content)
    with pytest.raises(DatasetError, match=rf"{message}$"):
        load(folder)


def test_a_bad_card_is_refused(tmp_path: Path) -> None:
    unnamed = {key: value for key, value in CARD.items() if key != "name"}
    with pytest.raises(DatasetError, match=r"dataset.json: no 'name'"):
        load(write_folder(tmp_path / "one", card=unnamed))
    with pytest.raises(DatasetError, match=r"dataset.json: unknown metric 'precision@5'"):
        load(write_folder(tmp_path / "two", card=CARD | {"metrics": ["precision@5"]}))
    folder = write_folder(tmp_path / "three")
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"dataset.json: holds a list, not an object"):
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ["a"]}, r"""'text' must be a text, not \["a"\]"""),
        ({"text": 5}, "'text' must be a text, not 5"),
        ({"targets": 5}, "'targets' must be a list, not 5"),
        ({"targets": "yellow"}, "'targets' must be a list, not \"yellow\""),
        ({"targets": [None]}, "'targets.0' must be a text or a whole number, not null"),
        ({"targets": None}, "no 'targets'"),
        ({"subset": 3}, "'subset' must be a list, not 3"),
        ({"aspects": "colour"}, "'aspects' must be a list, not"),
        ({"aspects": [True]}, "'aspects.0' must be a text or a whole number, not true"),
        ({"type": {}}, "'type' must be a text or a whole number"),
        ({"split": ["dev"]}, "'split' must be a text or a whole number"),
        ({"reference": ["red"]}, "'reference' must be a text or a whole number"),
        ({"id": None}, "no 'id'"),
        ({"id": 1.5}, "'id' must be a text or a whole number, not 1.5"),
    ],
)
def test_a_query_field_of_the_wrong_type_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = write_folder(tmp_path / "set", queries=[QUERIES[0], QUERIES[1] | change])
    with pytest.raises(DatasetError, match=f"queries.jsonl, line 2: {message}"):
        load(folder)


def test_null_is_as_good_as_left_out(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("text", "subset", "aspects", "type", "split"))
    asked = [QUERIES[0] | nothing, QUERIES[1]]
    card = CARD | {"metrics": None, "headline": None, "licence": None}
    folder = write_folder(tmp_path / "set", card=card, queries=asked)
    query = load(folder).queries[0]
    assert (query.texts, query.subset, query.aspects) == (("",), (), ())
    assert find_dataset(str(folder))[0].splits == ("all", "dev")
    assert find_dataset(str(folder))[0].licence == "not stated"
    assert load(folder).headline == "recall@10"


def test_what_people_read_of_a_card_may_be_anything(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", card=CARD | {"licence": ["MIT", "CC0"], "source": "x"})
    dataset = find_dataset(str(folder))[0]
    assert (dataset.licence, dataset.reference) == ('["MIT", "CC0"]', "x")


def test_ids_may_be_whole_numbers(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "set", queries=[{"id": 3, "reference": 1, "targets": [2], "type": 7, "split": 0}]
    )
    files = ("images/red.png", "images/blue.png")
    write_lines(folder / "gallery.jsonl", [{"id": n, "file": f} for n, f in enumerate(files, 1)])
    query = load(folder, "0").queries[0]
    assert (query.id, query.reference, query.targets, query.aspects) == ("3", "1", ("2",), ("7",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 5}, "'name' must be a text, not 5"),
        ({"exclude_reference": "false"}, "'exclude_reference' must be true or false, not \"false"),
        ({"exclude_reference": None}, "'exclude_reference' must be true or false.* not null"),
        ({"metrics": 5}, "'metrics' must be a list, not 5"),
        ({"metrics": "recall@1"}, "'metrics' must be a list, not"),
        ({"metrics": [5]}, r"'metrics.0' must be a text, not 5"),
        ({"metrics": []}, "'metrics' is empty"),
        ({"metrics": ["recall@\u00b2"]}, "unknown metric"),
        ({"metrics": ["recall@" + "9" * 5000]}, "unknown metric"),
        ({"headline": 5}, "'headline' must be a text, not 5"),
        ({"headline": "best"}, "unknown metric 'best'"),
    ],
)
def test_a_card_field_of_the_wrong_type_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = write_folder(tmp_path / "set", card=CARD | change)
    with pytest.raises(DatasetError, match=f"dataset.json: {message}"):
        load(folder)


_MANY_DIGITS = "1" * 5000
_DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_MANY_DIGITS, "a whole number of more than 4,300 digits"),
        (_DEEP, "nested more than 100 deep"),
        (r'"\ud83d"', r"half of a surrogate pair \(\\ud800 to"),
    ],
    ids=["digits", "deep", "half"],
)
def test_values_beyond_what_can_be_read_are_named(tmp_path: Path, value: str, message: str) -> None:
    folder = write_folder(tmp_path / "set")
    for name in ("gallery", "queries"):
        before = (folder / f"{name}.jsonl").read_text()
        (folder / f"{name}.jsonl").write_text(f'{before}{{"id": "x", "n": {value}}}\n')
        number = before.count("\n") + 1
        with pytest.raises(DatasetError, match=rf"{name}.jsonl, line {number}: .*{message}"):
            load(folder)
        (folder / f"{name}.jsonl").write_text(before)
    (folder / "dataset.json").write_text(f'{{"name": {value}}}')
    with pytest.raises(DatasetError, match=rf"dataset.json: .*{message}"):
        load(folder)


def test_a_folder_in_a_files_place_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / "gallery.jsonl").unlink()
    (folder / "gallery.jsonl").mkdir()
    with pytest.raises(DatasetError, match=r"gallery.jsonl: .* \(a folder, not a file\)"):
        load(folder)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "queries", "images"),
    [("fashion-recolour", 3000, 5047), ("pacs-domains", 2100, 2780), ("flickr8k-dev", 5000, 1000)],
)
def test_the_development_sets_are_read(name: str, queries: int, images: int) -> None:
    task = load(data_folder(name))
    assert (len(task.queries), len(task.gallery)) == (queries, images)
