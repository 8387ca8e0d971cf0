"""`composir triplets` as a user types it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from composir.cli import models
from tests.e2e.commands import composir
from tests.fakes import ColourModel
from tests.unit.triplets.endpoint import Reply, endpoint, fails, says
from tests.unit.triplets.world import captioned, rows_of, shop, write_rows

MAKE = ("triplets", "make", "--max-similarity", "0.999", "--out", "triplets")
CAPTIONED = (*MAKE, "--images", "photos", "--captions", "captions.jsonl")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with captioned photos, a shop, and a model of colours."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    captioned(tmp_path)
    shop(tmp_path / "shop")
    return tmp_path


def test_make_look_and_bench(home: Path) -> None:
    made = composir(*CAPTIONED, "--count", "20")
    assert made.exit_code == 0, made.output
    assert "20 triplets in triplets" in made.stdout
    assert "dropped on the way" in made.stdout
    looked = composir("triplets", "look", "triplets", "--html", "sheet.html", "--count", "5")
    assert looked.exit_code == 0, looked.output
    assert (home / "sheet.html").read_text().count("<article") == 5
    assert len(composir("triplets", "look", "triplets").stdout.splitlines()) == 20
    benched = composir("bench", "./triplets", "-c", "sum")
    assert benched.exit_code == 0, benched.output
    assert "photos-triplets" in benched.stdout


def test_a_shop_with_chosen_columns(home: Path) -> None:
    words = (*MAKE, "--data", "shop", "--vary", "colour", "--group", "title", "--count", "9")
    made = composir(*words, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["kinds"] == {"attribute:colour": 9}
    assert "column colour: the model sees it in 100 %" in made.stderr
    assert "varied: colour; the same: title" in made.stderr
    first = (home / "triplets" / "queries.jsonl").read_bytes()
    assert composir(*words).exit_code == 0
    assert (home / "triplets" / "queries.jsonl").read_bytes() == first
    other = composir(*words, "--seed", "5")
    assert other.exit_code == 2
    assert "triplets is of another recipe: seed (0 there, 5 asked)" in other.stderr


def test_captions_of_unknown_pictures_are_told(home: Path) -> None:
    rows = rows_of(home / "captions.jsonl")
    write_rows(home / "captions.jsonl", [*rows, {"file": "gone.png", "caption": "gone"}])
    made = composir(*CAPTIONED, "--count", "5")
    assert made.exit_code == 0
    assert "note: 1 captions without a picture: gone.png" in made.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--images", "photos"), "say where the pictures are"),
        (("--data", "shop", "--captions", "captions.jsonl"), "say where the pictures are"),
        (("--data", "shop", "--vary", "size"), "no text column 'size'"),
        (("--data", "shop", "--margin", "9"), "no triplet is left; dropped: 60 x the text does"),
        (("--data", "shop", "--writer", "openai"), "needs --base-url"),
    ],
)
def test_bad_input_is_one_line(home: Path, words: tuple[str, ...], told: str) -> None:
    refused = composir(*MAKE, *words)
    assert refused.exit_code == 2, refused.output
    assert refused.stdout == ""
    assert told in refused.stderr


def test_a_refused_command_does_not_take_the_folder(home: Path) -> None:
    shop = (*MAKE, "--data", "shop", "--group", "title", "--count", "9")
    assert composir(*shop, "--vary", "size").exit_code == 2
    assert not (home / "triplets").exists()
    assert composir(*shop, "--vary", "colour").exit_code == 0


def colour_of(_number: int, body: dict[str, Any]) -> Reply:
    """Names the colour of B."""
    return says(f"in {body['messages'][-1]['content'].split('B: a ')[1].split()[0]}")


def with_model(url: str, *more: str) -> tuple[str, ...]:
    chosen = ("--writer", "openai", "--base-url", url, "--language-model", "tiny")
    return (*CAPTIONED, *chosen, "--count", "12", *more)


def test_a_language_model_writes_after_its_budget_was_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with endpoint(colour_of) as stub:
        unasked = composir(*with_model(stub.url, "--price-in", "0.5"))
        assert unasked.exit_code == 2
        assert stub.bodies == []
        assert "at most 5,000 requests, likely 16" in unasked.stderr
        assert "that is about 0.00" in unasked.stderr
        assert "add --yes to agree" in unasked.stderr
        made = composir(*with_model(stub.url, "--yes"))
        assert made.exit_code == 0, made.output
        asked = len(stub.bodies)
        assert f"{asked} requests, 0 answers from the cache" in made.stdout
        again = composir(*with_model(stub.url, "--yes"))
        assert f"0 requests, {asked} answers from the cache" in again.stdout
    assert set(stub.keys) == {"Bearer sk-secret"}
    row = rows_of(home / "triplets" / "queries.jsonl")[0]
    assert row["provenance"]["language_model"] == "tiny"
    for file in home.rglob("*"):
        assert not file.is_file() or b"sk-secret" not in file.read_bytes()


def test_an_endpoint_that_is_rate_limited_and_breaks_down_can_be_gone_on_with(home: Path) -> None:
    def moody(number: int, body: dict[str, Any]) -> Reply:
        if number == 0:
            return fails(429, Retry_After="0.2")
        return colour_of(number, body) if number < 6 else fails(401, "quota is over")

    with endpoint(moody) as stub:
        words = with_model(stub.url, "--yes", "--concurrency", "1")
        broken = composir(*words)
        assert broken.exit_code == 2
        assert "answers 401 quota is over" in broken.stderr
        assert "begun but not finished" in composir("triplets", "look", "triplets").stderr
        stub.reply = colour_of
        made = composir(*words)
        assert made.exit_code == 0, made.output
        assert "5 answers from the cache" in made.stdout


def test_a_budget_that_is_used_up_leaves_what_there_is(home: Path) -> None:
    with endpoint(colour_of) as stub:
        made = composir(*with_model(stub.url, "--yes", "--max-requests", "4"))
        assert made.exit_code == 0, made.output
        assert len(stub.bodies) == 4
    assert "fewer than the 12 asked for: the budget of requests is used up" in made.stdout


def test_triplets_import_no_torch(home: Path) -> None:
    from tests.e2e.test_imports import NEVER, modules_after

    code = "import composir.triplets.language_model, composir.pages.triplet_sheet"
    code += ", composir.cli.triplets"
    assert not modules_after(code) & (NEVER | {"openai", "jinja2"})


def test_edits_of_any_pictures(home: Path) -> None:
    made = composir("triplets", "edit", "--images", "photos", "--count", "6", "--out", "edits")
    assert made.exit_code == 0, made.output
    assert "6 edits in edits" in made.stdout
    rows = rows_of(home / "edits" / "queries.jsonl")
    assert {row["provenance"]["writer"] for row in rows} == {"edit"}
    assert sum(not row["id"].endswith("-back") for row in rows) == 6
    other = composir("triplets", "edit", "--images", "photos", "--count", "7", "--out", "edits")
    assert other.exit_code == 2
    assert "other settings" in other.stderr


def test_edits_of_what_a_data_set_lists(home: Path) -> None:
    (home / "shop" / "unlisted.png").write_bytes(b"no picture, and not listed")
    made = composir("triplets", "edit", "--data", "shop", "--count", "4", "--out", "edits")
    assert made.exit_code == 0, made.output
    assert "4 edits in edits" in made.stdout
    assert "unlisted" not in made.stderr
    none = composir("triplets", "edit", "--count", "4", "--out", "none")
    assert none.exit_code == 2
    assert "no pictures to edit" in none.stderr


def test_edits_do_not_overwrite_a_data_set_of_ones_own(home: Path) -> None:
    for name in ("dataset.json", "queries.jsonl"):
        (home / "shop" / name).write_text("{}")
    before = {file: file.read_bytes() for file in (home / "shop").iterdir() if file.is_file()}
    words = ("triplets", "edit", "--data", "shop", "--count", "4", "--out")
    refused = composir(*words, "shop")
    assert refused.exit_code == 2
    assert "--out shop: holds something else" in refused.stderr
    assert {file: file.read_bytes() for file in before} == before
    a_file = composir(*words, "captions.jsonl")
    assert a_file.exit_code == 2
    assert "--out captions.jsonl: is a file, but a folder is needed" in a_file.stderr


@pytest.mark.parametrize(
    "words", [(*MAKE, "--data", "shop"), ("triplets", "edit", "--images", "photos", "--out", "e")]
)
def test_a_negative_seed_is_a_usage_error(home: Path, words: tuple[str, ...]) -> None:
    refused = composir(*words, "--seed", "-1")
    assert refused.exit_code == 2
    assert "'--seed'" in refused.stderr
    assert "greater than or equal to 0" in refused.stderr
    assert not (home / words[words.index("--out") + 1]).exists()


@pytest.mark.parametrize(
    ("key", "url", "told"),
    [
        ("sk-SECRET\nx", "http://127.0.0.1:1/v1", "the endpoint's key holds characters"),
        ("sk\u2013SECRET", "http://127.0.0.1:1/v1", "the endpoint's key holds characters"),
        ("sk-SECRET", "http://[bad/v1", "--base-url 'http://[bad/v1': write it like"),
        ("sk-SECRET", f"http://{'a' * 64}/v1", "write it like http://localhost:8000/v1"),
    ],
)
def test_a_bad_key_or_address_is_one_line_without_the_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, key: str, url: str, told: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    refused = composir(*with_model(url, "--yes"))
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert "SECRET" not in refused.output
    assert isinstance(refused.exception, SystemExit)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_pictures_named_in_latin_1_make_a_data_set_of_utf_8(home: Path) -> None:
    named = home / "shop" / os.fsdecode(b"caf\xe9.png")
    try:
        (home / "shop" / "images" / "cup-red.png").rename(named)
    except OSError:
        pytest.skip("this disk takes no such names")
    rows = rows_of(home / "shop" / "gallery.jsonl")
    first = {"id": named.name, "file": named.name, "note": "half \ud83d"}
    write_rows(home / "shop" / "gallery.jsonl", [rows[0] | first, *rows[1:]])
    chosen = ("--data", "shop", "--vary", "colour", "--group", "kind", "--count", "40")
    made = composir(*MAKE, *chosen)
    if made.exception:
        raise made.exception
    assert made.exit_code == 0, made.output
    references = {row["reference"] for row in rows_of(home / "triplets" / "queries.jsonl")}
    assert named.name in references
    gallery = rows_of(home / "triplets" / "gallery.jsonl")
    assert (home / "triplets" / gallery[0]["file"]).is_file()
