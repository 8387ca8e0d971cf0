"""Neutral phrases: the packaged list, and lists of one's own."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from composir.errors import TrainingError
from composir.train.steering import ALONE, read_phrases

CATALOGUE = Path(__file__).resolve().parents[3] / "examples" / "catalogue"


def test_the_packaged_phrases_have_groups_of_several_and_some_that_stand_alone() -> None:
    packaged = read_phrases(Path())
    sizes = Counter(packaged.groups)

    assert len(packaged.texts) > 2000
    assert len(set(packaged.texts)) == len(packaged.texts) == len(packaged.groups)
    assert sizes.pop(ALONE) > 100
    assert len(sizes) > 20
    assert min(sizes.values()) > 1
    group = dict(zip(packaged.texts, packaged.groups, strict=True))
    assert group["but red"] == group["in a dark blue"] != group["built from wood"]
    assert group["shown as a comic"] == group["a plain photo of the real thing"]


def queries_of_sets() -> Iterator[tuple[str, str]]:
    """Every query text of the sample catalogue, and of the data sets that are here."""
    data = Path(os.environ.get("COMPOSIR_DATA", "data"))
    for file in [CATALOGUE / "queries.jsonl", *sorted(data.glob("*/queries.jsonl"))]:
        for line in file.read_text(encoding="utf-8").splitlines():
            yield file.parent.name, json.loads(line)["text"]


def test_no_packaged_phrase_is_what_an_evaluation_set_asks() -> None:
    packaged = {text.casefold() for text in read_phrases(Path()).texts}
    asked = [(name, text) for name, text in queries_of_sets() if text is not None]

    assert len(asked) > 500
    assert [(n, t) for n, t in asked if t.strip(" .").casefold() in packaged] == []


def test_a_file_holds_a_phrase_a_line_and_names_of_groups(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# mine\nshiny\n\n[colour]\nin red\n  in blue \n[time]\nat night\nin red\n")
    read = read_phrases(own)

    assert read.texts == ("shiny", "in red", "in blue", "at night")
    assert read.groups == (ALONE, 0, 0, 1)


def test_a_form_stands_for_a_phrase_a_word_of_its_lists(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text(
        "shades = dark, pale\nhues = red,blue\n[colour]\nin {shades} {hues}\nin {hues}!\n"
    )
    read = read_phrases(own)

    pairs = ("in dark red", "in dark blue", "in pale red", "in pale blue")
    assert read.texts == (*pairs, "in red!", "in blue!")
    assert set(read.groups) == {0}


def test_a_form_with_an_unknown_list_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("shiny\nin {hues}\n")

    with pytest.raises(TrainingError, match=r"own\.txt, line 2: no list 'hues'"):
        read_phrases(own)


@pytest.mark.parametrize("content", ["alone\n", "[colour]\nalone\n# no phrase\n", ""])
def test_fewer_than_two_phrases_are_refused(tmp_path: Path, content: str) -> None:
    own = tmp_path / "own.txt"
    own.write_text(content)

    with pytest.raises(TrainingError, match=r"own\.txt holds [01]; write one per line"):
        read_phrases(own)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(TrainingError, match=r"own\.txt: not UTF-8 text"):
        read_phrases(own)
