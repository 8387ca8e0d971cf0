"""Neutral phrases: the packaged list, and lists of one's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from composir.errors import TrainingError
from composir.train.steering.phrase_list import ALONE, read_phrases


def test_the_packaged_phrases_have_groups_of_several_and_some_that_stand_alone() -> None:
    packaged = read_phrases(Path())
    sizes = Counter(packaged.groups)

    assert len(packaged.texts) > 100
    assert len(set(packaged.texts)) == len(packaged.texts) == len(packaged.groups)
    assert sizes.pop(ALONE) > 10
    assert len(sizes) > 5
    assert min(sizes.values()) > 1
    group = dict(zip(packaged.texts, packaged.groups, strict=True))
    assert group["as a painting"] == group["as a photograph"] != group["in red"]


def test_a_file_holds_a_phrase_a_line_and_names_of_groups(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# mine\nshiny\n\n[colour]\nin red\n  in blue \n[time]\nat night\nin red\n")
    read = read_phrases(own)

    assert read.texts == ("shiny", "in red", "in blue", "at night")
    assert read.groups == (ALONE, 0, 0, 1)


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
