"""Texts of our own that evaluation asks: natural, varied, and in no list that is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import described_dev
import pytest

import composir
from composir.compose.exchanges import read_exchanges

ROOT = Path(__file__).parents[2]
PACKAGE = Path(composir.__file__).parent
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def edits() -> list[dict[str, Any]]:
    lines = (BENCHMARKS / "real_edits.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def trained_on() -> str:
    """Every list of phrases, and the recipe's own sources."""
    files = [
        *PACKAGE.rglob("*.txt"),
        *(ROOT / "recipes").rglob("*.py"),
        *PACKAGE.glob("t*/**/*.py"),
    ]
    assert any(file.name == "phrases.txt" for file in files)
    return "\n".join(file.read_text(encoding="utf-8") for file in files).casefold()


def test_every_domain_of_pacs_is_asked_for_in_words_of_no_training_list() -> None:
    told = json.loads((BENCHMARKS / "pacs_wordings.json").read_text(encoding="utf-8"))
    known = trained_on()
    assert set(told) == {"photo", "art_painting", "cartoon", "sketch"}
    for wordings in told.values():
        assert len(set(wordings)) == len(wordings) >= 6
        assert [text for text in wordings if text.casefold() in known] == []


def test_what_is_chosen_on_has_other_words_than_lists_and_than_what_is_reported() -> None:
    told = json.loads((BENCHMARKS / "dev_wordings.json").read_text(encoding="utf-8"))
    reported = json.loads((BENCHMARKS / "pacs_wordings.json").read_text(encoding="utf-8"))
    by_value = [values for said in told.values() for values in said.values()]
    texts = [text for values in by_value for wordings in values.values() for text in wordings]
    beside = [text for text in texts if read_exchanges(text)]  # "graphite on white paper"
    assert 40 < len(beside) < len(texts) / 2
    assert not {t.casefold() for t in texts} & {
        t.casefold() for by in reported.values() for t in by
    }


def test_queries_are_asked_in_other_words_in_turn_and_not_where_there_are_none() -> None:
    from held_out import in_other_words

    rows = [{"id": "a", "colour": "Red"}, {"id": "b", "colour": "Teal"}]
    queries = [{"id": n, "text": "in red", "targets": [t]} for n, t in enumerate("aaba")]
    asked = list(in_other_words(rows, queries, {"colour": {"red": ["ripe", "hot"]}}))
    assert [query["id"] for query in asked] == [0, 1, 3]
    assert [query["text"] for query in asked] == ["ripe", "hot", "ripe"]
    both = {"id": 5, "text": "?", "targets": ["a"], "changes": {"colour": "red", "count": 2}}
    wordings = {"colour": {"red": ["ripe"]}, "count": {"2": ["doubled"]}}
    assert next(iter(in_other_words(rows, [both], wordings)))["text"] == "ripe and doubled"


def test_real_edits_are_many_and_of_pictures_kept_apart(edits: list[dict[str, Any]]) -> None:
    from corpus import split_of

    assert len(edits) >= 120
    assert len({edit["id"] for edit in edits}) == len(edits)
    for edit in edits:
        assert edit["reference"] not in edit["targets"]
        for picture in (edit["reference"], *edit["targets"]):
            assert split_of(f"real-edits/{picture}", 0.0, 0.35) == "test"


def test_no_text_of_real_edits_is_trained_on_or_comes_twice(edits: list[dict[str, Any]]) -> None:
    texts = [edit["text"].casefold() for edit in edits]
    assert len(set(texts)) == len(texts)
    known = trained_on()
    assert [text for text in texts if text in known] == []


ROWS = [
    {"id": "a", "split": "dev", "captions": ["A brown dog runs over the wet sand .", "A dog ."]},
    {"id": "b", "split": "train", "captions": ["A brown dog sits on wet sand by a boat ."]},
    {"id": "c", "split": "dev", "captions": ["street fashion with hat, coat and boots", "a hat"]},
    *(
        {"id": f"z{n}", "split": "train", "captions": ["two men play cards at a table"]}
        for n in range(20)
    ),
]


def test_dev_pictures_are_asked_for_by_texts_that_describe_all_of_them() -> None:
    asked = {row["targets"][0]: row for row in described_dev.described_queries(ROWS)}

    assert set(asked) == {"a", "c"}  # the others were trained on
    assert asked["a"]["text"] == "a brown dog runs over the wet sand"  # "a dog" names one thing
    assert asked["c"]["text"] == "hat, coat and boots"
    assert all(row["reference"] != target for target, row in asked.items())
    again = {row["targets"][0]: row for row in described_dev.described_queries(ROWS)}
    assert again == asked


def test_the_reference_is_a_picture_that_is_told_of_in_like_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(described_dev, "LIKEST", 1)
    asked = {row["targets"][0]: row for row in described_dev.described_queries(ROWS)}
    assert asked["a"]["reference"] == "b"
