"""Text triplets from files, their parts, and which of them a step sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import DatasetError, TrainingError
from composir.train.composing.text_batches import TextBatches
from composir.train.composing.text_rows import read_text_triplets, split_texts, text_subset
from composir.train.composing.triplet_files import read_triplets
from composir.triplets.caption_edits import TextTriplet
from tests.torch.composing.tiny_rows import write_lines

ROW = {"reference": "a red dog", "text": "in blue", "target": "a blue dog", "edit": "colour: x"}


def triplets(references: int, edits: int) -> list[TextTriplet]:
    return [
        TextTriplet(f"thing {r}", f"now {e}", f"thing {r} now {e}", f"edit: {e}")
        for r in range(references)
        for e in range(edits)
    ]


def test_lines_are_read_once_and_an_edit_may_be_missing(tmp_path: Path) -> None:
    plain = {name: value for name, value in ROW.items() if name != "edit"}
    write_lines(tmp_path / "text-triplets.jsonl", [ROW, ROW, plain])
    data = read_text_triplets([tmp_path], 0.0)

    assert [one.edit for one in data.triplets] == ["colour: x", ""]
    assert data.triplets[0] == TextTriplet(**ROW)
    assert data.repeats == 1
    assert data.summary().startswith("2 text triplets; 1 repeated lines, 0 lines left out")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": ""}, "no target"),
        ({"text": None}, "no text"),
        ({"reference": 5}, "reference is no text"),
        ({"edit": 5}, "edit is no text"),
        ({"target": "a red dog"}, "the target is the reference itself"),
        ({"target": "dogs/blue.JPG"}, "target names a picture: triplets of pictures go to --trip"),
    ],
)
def test_a_line_that_says_no_triplet_is_named(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    file = write_lines(tmp_path / "texts.jsonl", [ROW, ROW | changes])
    (problem,) = read_text_triplets([file], 0.5).problems

    assert problem.where.endswith("texts.jsonl, line 2")
    assert reason in problem.reason
    with pytest.raises(DatasetError, match=r"1 of 2 rows cannot be used(.|\n)*line 2"):
        read_text_triplets([file], 0.1)


def test_damage_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(f"{json.dumps(ROW)}\n[1]\n{json.dumps(ROW)[:40]}\n")

    with pytest.raises(DatasetError, match=r"(?s)line 2: not a JSON object.*line 3: not JSON"):
        read_text_triplets([file], 0.1)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jsonl", "", "it has no triplets; a line is, e.g."),
        ("texts.csv", "reference,text,target\n", "text triplets come as .jsonl or .ndjson"),
        ("lost.jsonl", None, "no such file of text triplets"),
        ("bytes.jsonl", "\udcff", "UTF-8"),
    ],
)
def test_files_of_something_else_are_refused(
    tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DatasetError, match=reason):
        read_text_triplets([tmp_path / name], 0.1)


def test_text_triplets_in_the_place_of_others_are_told_where_they_belong(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    write_lines(tmp_path / "texts" / "text-triplets.jsonl", [ROW])
    for place in (tmp_path / "texts", tmp_path / "texts" / "text-triplets.jsonl"):
        with pytest.raises(DatasetError, match="--text-triplets"):
            read_triplets(place)


def test_a_folder_without_text_triplets_names_the_file_it_looks_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"text-triplets\.jsonl: no such file"):
        read_text_triplets([tmp_path], 0.1)


def test_parts_share_no_reference_and_no_pair_of_texts() -> None:
    there = triplets(20, 3)
    back = [TextTriplet(t.target, "back", t.reference, "back") for t in there]
    split = split_texts([*there, *back], (0.2, 0.1), most=1000)
    parts = (split.train, split.dev, split.held_out)
    references = [{t.reference for t in part} for part in parts]
    pairs = [{frozenset((t.reference, t.target)) for t in part} for part in parts]

    assert len(split.dev) >= 24
    assert len(split.held_out) >= 12
    assert not any(references[i] & references[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert not pairs[0] & (pairs[1] | pairs[2])
    assert split_texts([*back, *there], (0.2, 0.1), most=1000).dev != ()


def test_parts_do_not_depend_on_the_order_of_lines() -> None:
    made = triplets(30, 1)
    one, other = split_texts(made, (0.2, 0.2), 4), split_texts(made[::-1], (0.2, 0.2), 4)

    assert [set(one.dev), set(one.held_out)] == [set(other.dev), set(other.held_out)]
    assert len(one.dev) == len(one.held_out) == 4


def test_too_few_references_for_a_part_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"too few for a part held_out=0\.1"):
        split_texts(triplets(1, 9), (0.1, 0.1), 1000)


def test_smaller_subsets_are_part_of_larger_ones() -> None:
    made = triplets(10, 3)
    sets = [set(text_subset(made, count)) for count in (0, 3, 9, -1)]

    assert [len(one) for one in sets] == [0, 3, 9, 30]
    assert sets[1] < sets[2] < sets[3]


def test_a_batch_holds_rows_of_one_reference_and_rows_of_one_edit() -> None:
    made = triplets(40, 10)
    batches = TextBatches(made, rows=32, alike=4, seed=1)
    for step in (1, 2, 40):
        rows = batches.rows(step)
        assert len(set(rows.tolist())) == len(rows) == 32
        chosen = [made[row] for row in rows]
        same = {
            name: max(sum(getattr(a, name) == getattr(b, name) for b in chosen) for a in chosen)
            for name in ("reference", "edit")
        }
        assert min(same.values()) >= 4
        assert (rows == TextBatches(made, 32, 4, seed=1).rows(step)).all()
    assert (batches.rows(1) != batches.rows(2)).any()
    assert (batches.rows(1) != TextBatches(made, 32, 4, seed=2).rows(1)).any()


def test_rows_of_one_edit_that_ask_for_the_same_text_do_not_stand_together() -> None:
    made = [TextTriplet(f"{n}", "show a dog", "a dog", "whole: a dog") for n in range(50)]
    other = [TextTriplet(f"other {n}", f"{n}", f"{n} {n}", "") for n in range(50)]
    batches = TextBatches([*made, *other], rows=8, alike=2, seed=0)

    assert batches._kinds == [[], []]


def test_what_steps_draw_is_known_before() -> None:
    batches = TextBatches(triplets(50, 4), rows=8, alike=2, seed=3)
    drawn = batches.drawn(6)

    assert set(drawn.tolist()) == {row for step in range(1, 7) for row in batches.rows(step)}
    assert len(drawn) < 60
    assert len(batches.drawn(2000)) == 200


def test_fewer_text_triplets_than_a_step_takes_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"6 text triplets.*fewer than the 8.*text_batch\.rows"):
        TextBatches(triplets(3, 2), rows=8, alike=2, seed=0)
