"""`composir search` as a user meets it."""

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from composir.cli import models
from tests.e2e.commands import composir, paint, paint_all
from tests.fakes import ColourModel


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of eight pictures, indexed into the default gallery."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    paint_all(tmp_path / "pictures")
    paint(tmp_path / "pictures" / "large red.png", "red", (1200, 900))
    facts = tmp_path / "facts.csv"
    facts.write_text("file,price\nred.png,10\nblue.png,20\n")
    result = composir("index", tmp_path / "pictures", "--metadata", facts)
    assert result.exit_code == 0, result.output
    return tmp_path / "pictures"


def names(output: str) -> list[str]:
    return [Path(hit["path"]).name for hit in json.loads(output)["hits"]]


def test_words_alone(pictures: Path) -> None:
    result = composir("search", "a", "blue", "thing", "--json")
    assert result.exit_code == 0
    assert names(result.stdout)[0] == "blue.png"


def test_an_image_alone_leaves_itself_out(pictures: Path) -> None:
    result = composir("search", "--image", pictures / "blue.png", "--json")
    assert "blue.png" not in names(result.stdout)
    result = composir("search", "--image", pictures / "blue.png", "--include-reference", "--json")
    assert names(result.stdout)[0] == "blue.png"


def test_an_image_and_words(pictures: Path) -> None:
    result = composir("search", "--image", pictures / "blue.png", "red", "--json")
    answer = json.loads(result.stdout)
    assert Path(answer["hits"][0]["path"]).name == "magenta.png"
    assert answer["query"] == {
        "image": str(pictures / "blue.png"),
        "images": [str(pictures / "blue.png")],
        "crop": None,
        "text": "red",
        "negatives": [],
    }


def test_blank_words_beside_an_image_are_none(pictures: Path) -> None:
    alone, blank = (
        json.loads(composir("search", "--image", pictures / "blue.png", *words, "--json").stdout)
        for words in ((), ("   ",))
    )
    assert [hit["score"] for hit in blank["hits"]] == [hit["score"] for hit in alone["hits"]]


def test_negatives_push_down(pictures: Path) -> None:
    plain = names(composir("search", "magenta", "--no-collapse", "--json").stdout)
    without = names(
        composir("search", "magenta", "--not", "blue", "--no-collapse", "--json").stdout
    )
    assert plain.index("blue.png") < plain.index("yellow.png")
    assert without.index("blue.png") > without.index("yellow.png")


def test_negations_in_words_are_told(pictures: Path, tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    words = ["search", "magenta, without blue", "--no-collapse"]
    piped = composir(*words, "--html", page)
    answer = composir(*words, "--json").stdout
    given = composir("search", "magenta", "--not", "blue", "--no-collapse", "--json").stdout

    assert "without: blue" in piped.stderr
    assert json.loads(answer)["query"]["negatives"] == []
    assert json.loads(answer)["understood"] == {"text": "magenta", "negatives": ["blue"]}
    assert names(answer) == names(given)
    assert '<span class="unseen">without </span><q>blue</q>' in page.read_text(encoding="utf-8")


def test_literal_words_and_negations_that_are_not_understood(pictures: Path) -> None:
    literal = composir("search", "magenta, without blue", "--literal", "--json")
    unclear = composir("search", "magenta, not as blue", "--json")

    assert json.loads(literal.stdout)["understood"]["negatives"] == []
    assert "warning" not in literal.stderr
    assert "warning: the negation 'not' was not understood" in unclear.stderr
    assert len(json.loads(unclear.stdout)["notices"]) == 1


def test_filters_come_before_the_search(pictures: Path) -> None:
    wide = json.loads(composir("search", "blue", "--where", "width > 1000", "--json").stdout)
    assert [Path(hit["path"]).name for hit in wide["hits"]] == ["large red.png"]
    assert wide["searched"] == 1
    cheap = composir("search", "blue", "--where", "price < 15", "--json")
    assert names(cheap.stdout) == ["red.png"]


def test_a_pipe_gets_one_hit_a_line_and_people_get_the_verdict(pictures: Path) -> None:
    result = composir("search", "green", "-k", "3")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert lines[0][2] == str(pictures / "green.png")
    assert "pictures · sum ·" in result.stderr


def test_a_confidence_too_low_has_an_exit_code_of_its_own(pictures: Path) -> None:
    enough = composir("search", "red", "--min-confidence", "0.5", "--json")
    short = composir("search", "red", "--min-confidence", "0.51", "--json")

    assert (enough.exit_code, short.exit_code) == (0, 4)
    told, untold = json.loads(enough.stdout), json.loads(short.stdout)
    assert (told["matches"], untold["matches"]) == (True, False)
    assert (told["min_confidence"], untold["min_confidence"]) == (0.5, 0.51)
    assert names(short.stdout) == names(enough.stdout)


@pytest.mark.parametrize("form", [[], ["--paths"], ["-0"]], ids=str)
def test_that_nothing_matches_is_said_beside_the_hits(pictures: Path, form: list[str]) -> None:
    result = composir("search", "red", "--min-confidence", "1", *form)

    assert result.exit_code == 4
    assert "the confidence of 0.50 is below --min-confidence 1" in result.stderr
    assert "red.png" in result.stdout


def test_without_the_option_nothing_matching_is_no_failure(pictures: Path) -> None:
    result = composir("search", "red", "--where", "width > 5000", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["confidence"]["value"] == 0.0
    strict = composir("search", "red", "--where", "width > 5000", "--min-confidence", "0.1")
    assert strict.exit_code == 4


@pytest.mark.parametrize("value", ["-1", "1.01", "nan", "much"])
def test_a_confidence_that_there_is_none_of_is_refused(pictures: Path, value: str) -> None:
    result = composir("search", "red", "--min-confidence", value)

    assert result.exit_code == 2
    assert result.stdout == ""


def test_hits_by_date(pictures: Path) -> None:
    for year, name in enumerate(["blue", "red", "green"], 2020):
        moment = datetime(year, 5, 1, tzinfo=UTC).timestamp()
        os.utime(pictures / f"{name}.png", (moment, moment))
    assert composir("index", pictures).exit_code == 0
    some = "path LIKE '%/red.png' OR path LIKE '%green%' OR path LIKE '%blue%'"

    for sort, expected in (("date", ["green", "red", "blue"]), ("date:oldest", None)):
        result = composir("search", "red", "--where", some, "--sort", sort, "--json")
        document = json.loads(result.stdout)
        assert (document["sort"], document["relevant"]) == (sort, 3)
        shown = [Path(hit["path"]).stem for hit in document["hits"]]
        assert shown == (expected or ["blue", "red", "green"])
    told = composir("search", "red", "--where", some, "--sort", "date")
    assert "3 relevant, newest first" in told.stderr


def test_an_explanation_of_hits_by_date_is_refused(pictures: Path, tmp_path: Path) -> None:
    why = tmp_path / "why.json"
    result = composir("search", "red", "--sort", "date", "--explain", why)

    assert result.exit_code == 2
    assert "--sort date" in result.stderr
    assert not why.exists()


def test_a_page_of_hits(pictures: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "hits.html"
    result = composir(
        "search", "--image", pictures / "blue.png", "red", "--not", "green", "--html", page
    )
    assert result.exit_code == 0, result.stderr
    assert str(page) in result.stderr
    text = page.read_text(encoding="utf-8")
    assert "“" not in text.split("<body>")[0].split("</style>")[1]
    assert text.count("data:image/jpeg;base64,") == 1 + text.count('class="card"')


@pytest.mark.parametrize("k", [1, 5, 10_000])
def test_k_is_at_most_what_is_asked_and_what_is_there(pictures: Path, k: int) -> None:
    hits = names(composir("search", "red", "-k", str(k), "--no-collapse", "--json").stdout)
    assert len(hits) == min(k, 9)


@pytest.mark.parametrize(
    "text",
    ["word " * 10_000, "красная лампа", "赤いランプ", "مصباح أحمر", "🔴💡", "red\x00\x1b[31m"],
    ids=["10,000 words", "Cyrillic", "Japanese", "Arabic", "emoji", "control characters"],
)
def test_any_text_is_answered(pictures: Path, text: str) -> None:
    result = composir("search", text, "--json")
    assert result.exit_code == 0, result.stderr
    assert len(names(result.stdout)) > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search"], "empty query"),
        (["search", "   "], "empty query"),
        (["search", "*"], "empty query"),
        (["search", "red", "--not", " "], "empty negative"),
        (["search", "no people"], "only says what must not be there"),
        (["search", "red", "--not", "red", "--not", "red"], "nothing is left to look for"),
        (["search", "red", "--composer", "x" * 300], "no composer named"),
        (["search", "red", "--gallery", "x" * 300], "File name too long"),
        (["search", "red", "-k", "0"], "-k"),
        (["search", "red", "--where", "width >"], "not understood"),
        (["search", "red", "--where", "nosuch = 1"], "nosuch"),
        (["search", "red", "--composer", "nosuch"], "nosuch"),
        (["search", "red", "--composer", "sum:alpha"], "write NAME or NAME:SETTING=VALUE"),
        (["search", "red", "--composer", "sum:beta=1"], "its settings are"),
        (["search", "--image", "missing.jpg"], "missing.jpg does not exist"),
        (["search", "--image", "."], "not a file"),
        (["search", "red", "--gallery", "nowhere"], "no gallery at"),
        (["search", "red", "--gallery", "other"], "not a gallery"),
        (["search", "--image", "text.jpg"], "text.jpg"),
        (["search", "--image", "empty.jpg"], "empty.jpg"),
        (["search", "red", "--html", "text.jpg/hits.html"], "text.jpg is no folder"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["", "json"])
def test_what_cannot_be_answered_is_one_clear_error(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
    as_json: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "empty.jpg").touch()
    result = composir(*words, *(["--json"] if as_json else []))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_another_model_than_the_gallery_s_is_refused_with_the_way_out(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel("colours-2"))
    result = composir("search", "red")
    assert result.exit_code == 2
    assert "composir index" in result.stderr


@pytest.fixture
def launched(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened in the browser; a home and a folder for temporary files of their own."""
    opened: list[str] = []

    def launch(uri: str) -> int:
        opened.append(uri)
        return 0

    monkeypatch.setattr(typer, "launch", launch)
    monkeypatch.setenv("COMPOSIR_HOME", str(pictures.parent / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(pictures.parent / "temporary"))
    return opened


def test_pages_that_are_opened_once_are_cleaned_up(launched: list[str], tmp_path: Path) -> None:
    pages = tmp_path / "home" / "pages"
    assert composir("search", "red", "--open").exit_code == 0
    [first] = pages.iterdir()
    assert launched == [first.as_uri()]
    composir("search", "red", "--open")
    assert len(list(pages.iterdir())) == 2  # a browser may still be loading the first
    for page in pages.iterdir():
        os.utime(page, (0, 0))
    composir("search", "red", "--open")
    [last] = pages.iterdir()
    assert launched[-1] == last.as_uri()
    assert not (tmp_path / "temporary").exists()


def test_a_page_that_no_browser_shows_is_removed(
    launched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typer, "launch", lambda uri: 1)
    shown = composir("search", "red", "--open")
    assert shown.exit_code == 0
    assert "no browser could be opened" in shown.stderr
    assert not list((tmp_path / "home" / "pages").iterdir())
    composir("search", "red", "--open", "--html", tmp_path / "mine.html")
    assert (tmp_path / "mine.html").exists()
