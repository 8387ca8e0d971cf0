"""Triplets of one's own: three forms, every row checked, a split that does not leak."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from composir.errors import DatasetError
from composir.train.composing.triplet_files import TrainingTriplet, read_triplets
from composir.train.composing.triplet_split import split_triplets, subset
from tests.torch.composing.tiny_rows import write_lines


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five files; reading triplets does not open them."""
    for name in "abcde":
        (tmp_path / f"{name}.jpg").write_bytes(b"picture")
    return tmp_path


def triplet(reference: str, target: str, text: str = "in red", group: str = "") -> TrainingTriplet:
    return TrainingTriplet(Path(reference), text, (Path(target),), (), group or reference, "row")


def names(files: tuple[Path, ...]) -> list[str]:
    return [file.stem for file in files]


def test_jsonl_with_one_or_several_targets(images: Path) -> None:
    rows = [
        {"reference": "a.jpg", "text": " in red ", "target": "b.jpg"},
        {"reference": "b.jpg", "text": "in blue", "targets": ["c.jpg", "d.jpg"]},
    ]
    read = read_triplets(write_lines(images / "own.jsonl", rows))

    assert [(t.reference.stem, t.text, names(t.targets)) for t in read.triplets] == [
        ("a", "in red", ["b"]),
        ("b", "in blue", ["c", "d"]),
    ]
    assert names(read.gallery) == ["a", "b", "c", "d"]
    assert read.problems == ()


def test_csv_with_several_targets_in_a_field(images: Path) -> None:
    path = images / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["reference", "text", "targets"])
        writer.writerow(["a.jpg", 'with "quotes", and\na line', "b.jpg|c.jpg"])

    read = read_triplets(path)
    assert names(read.triplets[0].targets) == ["b", "c"]
    assert read.triplets[0].text == 'with "quotes", and\na line'


def test_click_logs_what_was_shown_and_not_clicked_is_kept_apart(images: Path) -> None:
    rows = [
        {"reference": "a.jpg", "text": "in red", "clicked": "b.jpg", "shown": ["b.jpg", "c.jpg"]},
        {"reference": "a.jpg", "text": "In red", "clicked": ["d.jpg"], "shown": ["d.jpg", "e.jpg"]},
    ]
    read = read_triplets(write_lines(images / "clicks.jsonl", rows))

    assert len(read.triplets) == 1  # the same question asked twice
    assert names(read.triplets[0].targets) == ["b", "d"]
    assert names(read.triplets[0].shown) == ["c", "e"]
    assert read.repeats == 1


def test_a_data_set_folder_with_ids(images: Path) -> None:
    gallery = [{"id": name, "file": f"{name}.jpg"} for name in "abc"]
    queries = [{"id": "q", "reference": "a", "text": "in red", "targets": ["b"], "group": "g1"}]
    write_lines(images / "gallery.jsonl", gallery)
    write_lines(images / "queries.jsonl", queries)

    read = read_triplets(images)
    assert names(read.triplets[0].images) == ["a", "b"]
    assert read.triplets[0].group == "g1"
    assert names(read.gallery) == ["a", "b", "c"]


def test_file_names_may_be_relative_to_another_folder(images: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = [{"reference": "a.jpg", "text": "in red", "target": "b.jpg"}]
    read = read_triplets(write_lines(logs / "own.jsonl", rows), images=images)

    assert read.triplets[0].reference == images / "a.jpg"


def test_a_click_log_without_its_pictures_says_once_what_it_needs(
    images: Path, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = [
        {"reference": f"{'abcde'[n % 5]}.jpg", "text": f"number {n}", "clicked": "b.jpg"}
        for n in range(200)
        if n % 5 != 1
    ]
    path = write_lines(logs / "clicks.jsonl", rows)

    with pytest.raises(DatasetError, match=r"none of 160 rows can be used") as refused:
        read_triplets(path)
    told = str(refused.value).splitlines()
    assert len(told) == 3
    assert told[1] == f"  {path}, line 1 and 159 more: no image 'a.jpg' (looked for {logs}/a.jpg)"
    assert told[2].endswith("name their folder: --set images=FOLDER")
    assert len(read_triplets(path, images=images).triplets) == 160


def test_the_way_out_is_said_where_lost_pictures_are_what_is_wrong(images: Path) -> None:
    lost = {**GOOD, "target": "lost.jpg"}
    with pytest.raises(DatasetError, match=r"--set images=FOLDER"):
        read_triplets(write_lines(images / "own.jsonl", [GOOD, lost]))
    with pytest.raises(DatasetError) as refused:
        read_triplets(write_lines(images / "own.jsonl", [GOOD, lost, *[{**GOOD, "text": ""}] * 3]))
    assert "--set images" not in str(refused.value)
    assert "line 3, " in str(refused.value)


def test_a_data_set_beside_a_click_log_keeps_its_own_pictures(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "own.jpg").write_bytes(b"picture")
    gallery = [{"id": "x", "file": "own.jpg"}, {"id": "y", "file": "a.jpg"}]
    write_lines(data / "gallery.jsonl", gallery)
    write_lines(data / "queries.jsonl", [{"reference": "x", "text": "in red", "targets": ["y"]}])

    assert read_triplets(data, images=images).triplets[0].images == (
        data / "own.jpg",
        images / "a.jpg",
    )


@pytest.mark.parametrize("empty", ["gallery.jsonl", "queries.jsonl"])
def test_an_empty_data_set_is_refused_in_a_finished_sentence(images: Path, empty: str) -> None:
    write_lines(images / "gallery.jsonl", [{"id": name, "file": f"{name}.jpg"} for name in "ab"])
    write_lines(images / "queries.jsonl", [{"reference": "a", "text": "in red", "targets": ["b"]}])
    (images / empty).write_text("\n")

    with pytest.raises(DatasetError, match=rf"{empty}: .* a row is, e\.g\., \{{"):
        read_triplets(images)


GOOD = {"reference": "a.jpg", "text": "in red", "target": "b.jpg"}
BAD_ROWS = [
    ({**GOOD, "reference": "lost.jpg"}, "no image 'lost.jpg'"),
    ({**GOOD, "target": "lost.jpg"}, "no image 'lost.jpg'"),
    ({**GOOD, "target": "a.jpg"}, "the target is the reference itself"),
    ({**GOOD, "text": "  "}, "the text is empty"),
    ({**GOOD, "text": None}, "the text is empty"),
    ({**GOOD, "target": ""}, "no target"),
    ({"text": "in red", "target": "b.jpg"}, "no reference"),
    (["a.jpg"], "not a JSON object"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_bad_rows_are_left_out_and_named(images: Path, row: object, reason: str) -> None:
    path = write_lines(images / "own.jsonl", [GOOD, row, {**GOOD, "text": "in blue"}])
    read = read_triplets(path, max_bad=0.5)

    assert len(read.triplets) == 2
    assert read.problems[0].where == f"{path}, line 2"
    assert reason in read.problems[0].reason
    assert f"{path}, line 2" in read.summary()


def test_a_line_that_is_no_json_is_a_bad_row(images: Path) -> None:
    path = write_lines(images / "own.jsonl", [GOOD])
    path.write_text(path.read_text() + '{"reference": \n')

    assert "not JSON" in read_triplets(path, max_bad=0.5).problems[0].reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1" * 5_000, "a whole number of more than 4,300 digits; write it as a string"),
        ("[" * 100_000 + "]" * 100_000, "lists or objects are nested more than 100 deep"),
    ],
    ids=["long number", "deep nesting"],
)
def test_json_that_python_does_not_read_is_a_bad_row(images: Path, value: str, reason: str) -> None:
    path = write_lines(images / "own.jsonl", [GOOD])
    more = '{"reference": "a.jpg", "text": "in blue", "target": "b.jpg"}'
    path.write_text(f'{path.read_text()}{{"reference": {value}}}\n{more}\n')
    read = read_triplets(path, max_bad=0.5)

    assert [t.text for t in read.triplets] == ["in red", "in blue"]
    assert [(p.where, p.reason) for p in read.problems] == [(f"{path}, line 2", reason)]


def test_a_cell_that_is_too_large_is_a_bad_row(images: Path) -> None:
    path = images / "own.csv"
    rows = ["a.jpg,in red,b.jpg", f"a.jpg,{'x' * 200_000},b.jpg", "a.jpg,in blue,b.jpg"]
    path.write_text("\n".join(["reference,text,target", *rows, ""]))
    read = read_triplets(path, max_bad=0.5)

    assert [t.text for t in read.triplets] == ["in red", "in blue"]
    assert [problem.where for problem in read.problems] == [f"{path}, line 3"]
    assert "not CSV (field larger than" in read.problems[0].reason


def test_column_names_that_are_too_large_are_refused(images: Path) -> None:
    path = images / "own.csv"
    path.write_text("x" * 200_000 + ",text,target\n")
    with pytest.raises(DatasetError, match=r"own\.csv, line 1: the columns cannot be read"):
        read_triplets(path)


@pytest.mark.parametrize("name", ["x" * 5_000, "\0", [["a.jpg"]]], ids=["long", "nul", "list"])
def test_names_that_no_file_can_have_are_bad_rows(images: Path, name: object) -> None:
    path = write_lines(images / "own.jsonl", [GOOD, {**GOOD, "reference": name}])
    read = read_triplets(path, max_bad=0.5)

    assert len(read.triplets) == 1
    assert [problem.where for problem in read.problems] == [f"{path}, line 2"]
    assert len(read.problems[0].reason) < 400


def test_too_many_bad_rows_are_refused(images: Path) -> None:
    path = write_lines(images / "own.jsonl", [GOOD, {**GOOD, "target": "a.jpg"}])

    with pytest.raises(DatasetError, match=r"1 of 2 rows cannot be used(.|\n)*line 2"):
        read_triplets(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "no such file"),
        ("rows.xlsx", "x", "not '.xlsx'"),
        ("empty.jsonl", "", r"empty\.jsonl: it has no triplets; a row is, e\.g\., \{"),
        ("header.csv", "reference,text,target\n", r"header\.csv: it has no triplets; a row is"),
        ("bad.csv", "a,b\n1,2\n", "needed are reference, text"),
        ("latin.csv", b"\xe9\xff", "not UTF-8"),
    ],
)
def test_files_that_are_no_triplets_are_refused(
    tmp_path: Path, name: str, content: str | bytes | None, message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content:
        path.write_bytes(content)

    with pytest.raises(DatasetError, match=message):
        read_triplets(path)


def test_the_split_is_by_reference_and_the_same_every_time() -> None:
    many = [triplet(f"r{i % 20}", f"t{i}", f"text {i}") for i in range(100)]
    split = split_triplets(many, dev=0.1, held_out=0.2)

    references = [{t.reference for t in part} for part in split.parts]
    assert [len(found) for found in references] == [14, 2, 4]
    assert set.union(*references) == {t.reference for t in many}
    assert split_triplets(list(reversed(many)), 0.1, 0.2).dev == tuple(reversed(split.dev))


def test_a_target_that_would_give_a_held_out_pair_away_is_kept_back() -> None:
    many = [triplet(f"r{i}", f"t{i}") for i in range(10)]
    held_out = split_triplets(many, 0.1, 0.1).held_out[0]
    # The way back, which has another answer too.
    back = replace(triplet("t-back", "x"), reference=held_out.targets[0])
    back = replace(back, targets=(held_out.reference, Path("y")), group=many[0].group)
    split = split_triplets([*many, back], 0.1, 0.1)
    kept = [t for t in split.train if t.reference == back.reference]

    assert held_out in split.held_out
    assert [(t.targets, t.kept_back) for t in kept] == [((Path("y"),), (held_out.reference,))]


def test_groups_stay_together_and_ways_back_are_dropped() -> None:
    pairs = [triplet(f"a{i}", f"b{i}", group=f"{i}") for i in range(10)]
    back = [triplet(f"b{i}", f"a{i}", group=f"back {i}") for i in range(10)]
    split = split_triplets([*pairs, *back], dev=0.1, held_out=0.2)

    known = {frozenset(t.images) for part in split.parts[1:] for t in part}
    assert known.isdisjoint({frozenset(t.images) for t in split.train})
    assert split.dropped > 0
    assert len(split.train) + len(split.dev) + len(split.held_out) + split.dropped == 20


def test_too_few_references_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match="too few"):
        split_triplets([triplet("a", "b"), triplet("a", "c", "in blue")], 0.1, 0.1)


def test_smaller_subsets_are_part_of_larger_ones() -> None:
    many = [triplet(f"r{i}", "t", f"text {i}") for i in range(50)]

    assert subset(many, 0) == ()
    assert set(subset(many, 5)) < set(subset(many, 20)) < set(subset(many, -1)) == set(many)
    assert len(subset(many, 20)) == 20
