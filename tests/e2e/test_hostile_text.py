"""Text from data sets, results, models, pictures and tables never steers the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import Result

from composir.cli import models
from tests.e2e.commands import composir, paint
from tests.fakes import ColourModel
from tests.tiny_bundle import make_bundle
from tests.unit.bench.makers import CARD, QUERIES, write_folder
from tests.unit.triplets.world import shop

EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"
SHOWN = r"\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def harmless(*words: str | Path) -> Result:
    """Run a command; whatever it prints, wherever to, holds no control character."""
    shown = composir(*words)
    assert shown.exception is None or isinstance(shown.exception, SystemExit), shown.exception
    for text in (shown.stdout, shown.stderr):
        assert all(c.isprintable() or c in "\n\t" for c in text), ascii(text)
    return shown


@pytest.fixture
def tasks(home: Path) -> str:
    """A data set whose every text is hostile."""
    queries = [query | {"type": f"kind {EVIL}"} for query in QUERIES]
    told = dict.fromkeys(("description", "reference", "licence", "images_from"), EVIL)
    write_folder(home / "set", card={**CARD, "name": f"set {EVIL}", **told}, queries=queries)
    return "set"


def test_names_of_data_sets_and_texts_of_results(home: Path, tasks: str) -> None:
    shown = harmless(
        "bench", tasks, "-c", "sum", "-c", "text", "--csv", "a.csv", "--html", "a.html"
    )
    assert shown.exit_code == 0, shown.output
    assert SHOWN in shown.stdout
    results = sorted((home / "runs").iterdir())
    for number, path in enumerate(results):
        text = path.read_text().replace('"colours"', json.dumps(f"model {EVIL}"))
        document = json.loads(text)
        for task in document["tasks"]:
            task |= {"name": f"task {EVIL}", "notices": [f"notice {EVIL} [red]bold[/]"]}
        name = f"{number}{EVIL if sys.platform != 'win32' else ''}.json"
        path.with_name(name).write_text(json.dumps(document))
    hostile = [path for path in (home / "runs").iterdir() if path not in results]
    compared = harmless("bench", "compare", *hostile)
    assert compared.exit_code == 0, compared.output
    assert f"! notice {SHOWN} [red]bold[/]" in " ".join(compared.stdout.split())
    harmless("bench", "rerun", hostile[0])
    harmless("bench", "tune", tasks, "-c", "sum", "--split", EVIL, "--out", "t.json")
    harmless("bench", f"no{EVIL}", "-c", "sum")


def test_damaged_data_sets(home: Path, tasks: str) -> None:
    (home / tasks / "queries.jsonl").write_text(json.dumps({"id": EVIL, "reference": EVIL}))
    assert harmless("bench", tasks, "-c", "sum").exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_of_pictures_and_columns(home: Path) -> None:
    paint(home / f"pictures{EVIL}" / f"red{EVIL}.png", "red")
    (home / f"pictures{EVIL}" / f"broken{EVIL}.jpg").write_bytes(b"\xff\xd8\xff")
    table = home / f"facts{EVIL}.csv"
    table.write_text(f"file,{EVIL}\nred{EVIL}.png,{EVIL}\nlost{EVIL}.png,1\n", encoding="utf-8")
    words = ("index", f"pictures{EVIL}", "--gallery", "g")
    assert harmless(*words, "--metadata", table).exit_code in {0, 2}
    shown = harmless(*words)
    assert shown.exit_code == 0, shown.output
    for verb in ("info", "doctor"):
        harmless(verb, "--gallery", "g")
    harmless("info", "--failures", "--gallery", "g")
    shown = harmless("search", "red", "--gallery", "g", "--html", f"page{EVIL}.html")
    assert SHOWN in shown.stdout
    assert harmless("search", "red", "--gallery", "g", "--where", EVIL).exit_code == 2
    assert harmless("search", "--image", EVIL, "--gallery", "g").exit_code == 2


@pytest.mark.parametrize(
    "words", [("info", EVIL), ("index", EVIL), ("search", f"--{EVIL}"), (EVIL,)]
)
def test_what_is_typed_or_globbed(home: Path, words: tuple[str, ...]) -> None:
    assert harmless(*words).exit_code == 2


def test_triplets(home: Path) -> None:
    shop(home / "shop")
    rows = (home / "shop" / "gallery.jsonl").read_text()
    (home / "shop" / "gallery.jsonl").write_text(rows.replace('"colour"', json.dumps(EVIL)))
    made = harmless("triplets", "make", "--data", "shop", "--count", "5", "--out", f"t{EVIL}")
    assert made.exit_code == 0, made.output
    looked = harmless("triplets", "look", f"t{EVIL}", "--html", f"t{EVIL}.html")
    assert looked.exit_code == 0
    harmless("triplets", "look", f"t{EVIL}")


def test_model_cards(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_bundle(home / "bundle")
    (home / "bundle" / "README.md").write_bytes(f"# Card\n\n{EVIL}\n".encode())
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: model)
    shown = harmless("info", "--model-card")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0] == "# Card"
    assert SHOWN in shown.stdout
