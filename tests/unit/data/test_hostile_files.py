"""Whatever lies in a file: it is read, or refused in words; nothing else, and nothing huge."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composir.bench.compare import sections
from composir.bench.datasets.folder import folder_dataset, load
from composir.bench.results import Result, load_result
from composir.bench.suite import Plan, parse_method, run_plan
from composir.bench.task import LoadOptions
from composir.bench.tune import load_tuned
from composir.bench.vectors import load_vectors
from composir.data.captions import read_captions
from composir.data.tables import read_csv, read_jsonl
from composir.encode.feature_store import INDEX, FeatureStore
from composir.encode.stored import RowKind
from composir.errors import DatasetError
from composir.gallery.failures import read_failures
from composir.gallery.manifest import read_manifest
from composir.pages.triplet_sheet import triplet_sheet
from composir.triplets.chat import Answer
from composir.triplets.language_model import AnswerCache
from composir.triplets.source import read_captioned, read_data_set
from composir.triplets.triplet_folder import choose_rows, claim_folder, read_rows
from tests.fakes import ColourModel
from tests.hostile import archive_variants, json_variants, refusals, text_variants
from tests.unit.bench.makers import CARD, QUERIES, write_folder

GALLERY = {
    "kind": "composir-gallery",
    "bundle": {"name": "mini", "fingerprint": "0" * 16, "dimension": 256},
    "roots": ["/pictures"],
    "root_facts": {
        "/pictures": {"exclude": ["*.tmp"], "volumes": [{"folder": "/", "device": 64769}]}
    },
    "created": "2026-01-01T00:00:00+00:00",
    "updated": "2026-01-01T00:00:00+00:00",
    "schema_version": 1,
}
FAILURE = {
    "path": "/pictures/a.jpg",
    "reason": "damaged",
    "size": 5,
    "mtime_ns": 7,
    "environment": "x",
}
ROW = {"id": "red", "file": "images/red.png", "caption": "a red thing", "colour": "red"}
TRIPLET = QUERIES[0] | {
    "type": "image",
    "aspects": ["a"],
    "subset": ["blue"],
    "provenance": {"writer": "edit", "edit": "x", "target_fit": 0.5, "reference_fit": 0.1},
}


ALWAYS = {"cut", "latin", "utf16", "binary", "nested lists", "closed lists", "900 deep", "digits"}
"""Variants of a whole JSON file that no reader may take for anything."""


FEW: tuple[Any, ...] = (None, -1, [], "x", 10**400)


def read_folder(path: Path) -> None:
    load(path.parent, LoadOptions())
    folder_dataset(path.parent)


def look_at_triplets(path: Path) -> None:
    rows = read_rows(path.parent)
    triplet_sheet(path.parent, choose_rows(rows, 6, 0), len(rows))


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "set", colours=("red", "green", "blue", "yellow", "magenta"))


def test_manifests_of_galleries(tmp_path: Path) -> None:
    place = tmp_path / "composir-gallery.json"
    refused = refusals(place, json_variants(GALLERY), lambda path: read_manifest(path.parent))
    assert ALWAYS | {"empty", "null", "roots 8", "bundle.dimension 3", "created away"} <= refused
    assert "marked" not in refused


def test_failures_of_galleries_are_left_out_line_by_line(tmp_path: Path) -> None:
    place = tmp_path / "failures.jsonl"
    sound = json.dumps(FAILURE).encode()
    variants = {k: v + b"\n" + sound for k, v in json_variants(FAILURE).items()}
    variants = {k: v for k, v in variants.items() if k != "utf16"}

    def read(path: Path) -> None:
        assert FAILURE["path"] in read_failures(path.parent)

    assert refusals(place, variants, read) == set()


@pytest.mark.parametrize("name", ["dataset.json", "gallery.jsonl", "queries.jsonl"])
def test_data_set_folders(colours: Path, name: str) -> None:
    sound = {"dataset.json": CARD, "gallery.jsonl": ROW, "queries.jsonl": TRIPLET}[name]
    refused = refusals(colours / name, json_variants(sound), read_folder)
    assert ALWAYS - {"cut"} <= refused


@pytest.mark.parametrize("name", ["dataset.json", "gallery.jsonl", "queries.jsonl"])
def test_triplets_to_look_at(colours: Path, name: str) -> None:
    sound = {"dataset.json": CARD, "gallery.jsonl": ROW, "queries.jsonl": TRIPLET}[name]
    assert refusals(colours / name, json_variants(sound), look_at_triplets) >= ALWAYS


def test_data_sets_to_make_triplets_of(colours: Path) -> None:
    place = colours / "gallery.jsonl"
    second = json.dumps(ROW | {"id": "green", "file": "images/green.png"}).encode()
    variants = {name: second + b"\n" + content for name, content in json_variants(ROW).items()}
    assert refusals(place, variants, lambda path: read_data_set(path.parent)) >= ALWAYS


def test_lists_of_ids(colours: Path) -> None:
    place = colours / "ids.jsonl"
    refused = refusals(
        place, json_variants({"id": "red"}), lambda path: read_data_set(colours, only=path)
    )
    assert {"nested objects", "digits", "binary"} <= refused


def test_captions_and_other_metadata(colours: Path) -> None:
    place = colours / "captions.jsonl"
    refused = refusals(place, json_variants(ROW), lambda path: read_captions(path, ["caption"]))
    refusals(place, json_variants(ROW), lambda path: read_captioned(colours / "images", path))
    assert ALWAYS - {"utf16"} <= refused
    table = text_variants("file,caption\nred.png,a red thing\n")
    assert "binary" in refusals(colours / "captions.csv", table, read_csv)


def test_names_without_end_do_not_fill_the_memory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("composir.data.tables.MOST_CELLS", 1000)
    place = tmp_path / "wide.jsonl"
    place.write_text("".join(json.dumps({f"n{n}": 1}) + "\n" for n in range(100)))
    with pytest.raises(DatasetError, match=r"100 names in 100 rows make more cells"):
        read_jsonl(place)


def test_recipes(tmp_path: Path) -> None:
    sound = {"source": "x", "seed": 0}
    refused = refusals(
        tmp_path / "recipe.json",
        json_variants(sound),
        lambda path: claim_folder(path.parent, sound),
    )
    assert ALWAYS | {"empty", "seed 1"} <= refused


def test_result_files(tmp_path: Path, colours: Path) -> None:
    sound = json.loads(_result(colours).model_dump_json())
    refused = refusals(tmp_path / "result.json", json_variants(sound, FEW), _look_at_result)
    assert ALWAYS | {"empty", "tasks 2", "tasks.0.queries 1", "tasks.0.query_ids 2"} <= refused


def _result(folder: Path) -> Result:
    plan = Plan((str(folder),), (parse_method("sum"),), model="colours", options=LoadOptions("dev"))
    return run_plan(plan, ColourModel())[0].results[0]


def _look_at_result(path: Path) -> None:
    result = load_result(path)
    for task in result.tasks:
        task.first_hits()
        task.outcomes(list(task.metrics) or ["recall@1"])
    sections([result, result])


def test_tuned_settings(tmp_path: Path) -> None:
    sound = {
        "format": "composir-bench-tuned",
        "version": 1,
        "composer": "sum",
        "settings": {"alpha": 0.5},
        "metric": "recall@1",
        "dataset": "colours",
        "split": "dev",
        "checksum": "0",
        "fingerprint": "0",
        "keys": ["a"],
        "trials": [{"settings": {"alpha": 0.5}, "score": 1.0}],
    }
    refused = refusals(tmp_path / "tuned.json", json_variants(sound), load_tuned)
    assert ALWAYS | {"empty", "trials.0.score 10", "composer 2"} <= refused


def test_caches_of_vectors_and_answers(tmp_path: Path) -> None:
    variants = text_variants("SQLite format 3\0") | {"a table": _database("CREATE TABLE rows (a)")}

    def look_up(path: Path) -> None:
        store = FeatureStore(path.parent / "store")
        path.replace(store.folder / INDEX)
        FeatureStore(store.folder).known(RowKind("vectors", "bundle", (4,)), ["content"])

    def ask(path: Path) -> None:
        AnswerCache(path).get("request")

    assert {"binary", "one line", "a table"} <= refusals(tmp_path / "v.sqlite", variants, look_up)
    variants["a table"] = _database("CREATE TABLE answers (request, other)")
    assert {"binary", "one line", "a table"} <= refusals(tmp_path / "a.sqlite", variants, ask)


def test_an_answer_of_other_types_is_asked_for_again(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    cache.put("request", Answer("text", 1, 2))
    assert cache.get("request") == Answer("text", 1, 2)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection, connection:
        connection.execute("UPDATE answers SET text = x'ff', tokens_in = 'many'")
    assert cache.get("request") is None


def _database(statement: str) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(statement)
        return connection.serialize()


def test_files_of_vectors(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("composir.data.untrusted_arrays.MOST_UNPACKED", 1_000_000)
    sound = {"matrix": np.eye(4, dtype=np.float32), "ids": np.array(list("abcd"))}
    refused = refusals(tmp_path / "v.npz", archive_variants(sound), load_vectors)
    wanted = {"bomb", "lying", "cut", "binary", "matrix nan", "matrix huge", "matrix pickle"}
    assert wanted | {"matrix negative", "matrix promised header", "matrix records"} <= refused
