"""Triplets of captions alone: each says what changes, and changes that and nothing else."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from composir.errors import DatasetError
from composir.triplets.caption_edits import CaptionEditor, TextTriplet
from composir.triplets.text_triplets import (
    FILE,
    CaptionTexts,
    make_texts,
    read_caption_texts,
    text_triplets,
)

CAPTIONS = (
    "A man in a red shirt is standing near a lake .",
    "Two dogs are running in the snow .",
    "A woman wearing a blue hat is sitting on a bench .",
    "A small child is playing with a ball in the park .",
    "A red car is parked near a large house .",
)


def edits_of(caption: str, kind: str, seed: int = 0) -> list[TextTriplet]:
    editor = CaptionEditor(seed)
    for other in CAPTIONS:
        list(editor.edits(other))
    return [one for one in editor.edits(caption) if one.edit.startswith(f"{kind}:")]


@pytest.mark.parametrize("seed", range(5))
def test_a_colour_is_exchanged_there_and_back(seed: int) -> None:
    there, back = edits_of("A man in a red shirt .", "colour", seed)
    assert (there.reference, back.target) == ("a man in a red shirt", "a man in a red shirt")
    assert (there.target, back.text != there.text) == (back.reference, True)
    wanted = there.target.removeprefix("a man in ").removesuffix(" shirt").split(" ", 1)[1]
    assert wanted != "red"
    assert wanted in there.text
    assert "red" in back.text


def test_an_ending_is_added_taken_away_and_exchanged() -> None:
    added, removed, other = edits_of("A man reads a book near a tall tree .", "ending")
    assert (added.reference, added.target) == (removed.target, removed.reference)
    assert added.target == "a man reads a book near a tall tree"
    assert "near a tall tree" in added.text
    assert "near a tall tree" in removed.text
    assert other.target == "a man reads a book near a lake" or "near a large" in other.target
    assert other.target.removeprefix("a man reads a book ") in other.text


def test_what_is_worn_is_removed_by_its_name() -> None:
    for seed in range(8):
        removed = edits_of("A man is wearing a green hat .", "ending", seed)[1]
        assert removed.target == "a man is"[: len(removed.target)]
        assert "wearing" not in removed.text


def test_a_subject_is_another_captions() -> None:
    (triplet,) = edits_of("A monkey is eating fruit .", "subject")
    subject = triplet.target.removesuffix(" is eating fruit")
    assert any(one.lower().startswith(subject.lower()) for one in CAPTIONS)
    assert subject in triplet.text


@pytest.mark.parametrize(
    ("changed", "old", "new"),
    [
        ("a dog on a red sofa", "", "red"),
        ("a cat on a sofa", "dog", "cat"),
        ("a dog and a cat on a sofa", "", "cat"),
    ],
)
def test_changed_captions_lead_there_and_back(changed: str, old: str, new: str) -> None:
    there, back = CaptionEditor(0).changed("A dog on a sofa.", changed)
    assert (there.reference, there.target) == ("a dog on a sofa", changed)
    assert (back.reference, back.target) == (changed, "a dog on a sofa")
    assert new in there.text
    assert (old or new) in back.text


def test_a_caption_that_is_all_other_is_asked_for_as_a_whole() -> None:
    there, _ = CaptionEditor(0).changed("A dog on a sofa.", "two men near some very old cars")
    assert "two men near some very old cars" in there.text


def test_the_same_seed_gives_the_same_and_no_question_comes_twice() -> None:
    texts = CaptionTexts(CAPTIONS, (("A dog runs.", "A black dog runs."),))
    first = list(islice(text_triplets(texts, 3), 200))
    assert first == list(islice(text_triplets(texts, 3), 200))
    assert first != list(islice(text_triplets(texts, 4), 200))
    asked = {(one.reference, one.text) for one in first}
    assert len(asked) == len(first) == 200
    assert all(one.reference != one.target for one in first)


def test_captions_that_never_change_come_to_an_end() -> None:
    assert list(text_triplets(CaptionTexts(("Bread", "Milk"), ()), 0)) == []


def test_files_of_captions_and_of_changed_ones(tmp_path: Path) -> None:
    photos, changed = tmp_path / "photos.jsonl", tmp_path / "changed.csv"
    photos.write_text(json.dumps({"photo": "1", "captions": list(CAPTIONS)}) + "\n")
    changed.write_text("caption,changed\nA dog runs.,A black dog runs.\n")
    texts = read_caption_texts([photos, changed])
    assert texts == CaptionTexts(
        (*CAPTIONS, "A dog runs."), (("A dog runs.", "A black dog runs."),)
    )
    kinds = make_texts([photos, changed], tmp_path / "out", (50, 0))
    rows = [json.loads(line) for line in (tmp_path / "out" / FILE).read_text().splitlines()]
    assert len(rows) == sum(kinds.values()) == 50
    assert {*rows[0]} == {"reference", "text", "target", "edit"}
    with pytest.raises(DatasetError, match="another recipe"):
        make_texts([photos], tmp_path / "out", (50, 0))


def test_a_file_without_captions_is_named(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("price\n3\n")
    with pytest.raises(DatasetError, match=r"prices\.csv: no column of captions"):
        read_caption_texts([file])
