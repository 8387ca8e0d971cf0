"""The demo asks about pictures that are there, with commands that parse."""

import runpy
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from composir.cli import models
from composir.cli.search import app
from composir.gallery import open_gallery
from tests.e2e.commands import composir, paint_all
from tests.fakes import ColourModel

ROOT = Path(__file__).resolve().parents[2]
DEMO = runpy.run_path(str(ROOT / "examples" / "demo.py"))


def test_every_reference_of_the_demo_is_in_the_catalogue() -> None:
    references = [ask.image for ask in DEMO["SEARCHES"] if ask.image]
    assert len(references) >= 4
    for name in references:
        assert (DEMO["CATALOGUE"] / "images" / name).is_file(), name


def test_a_gallery_copied_along_with_a_clone_forgets_the_other_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures are known by content; their old paths must not be hits of the new clone."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    old, clone = tmp_path / "old", tmp_path / "clone"
    for folder in (old, clone):
        paint_all(folder / "examples" / "catalogue" / "images")
    monkeypatch.chdir(clone)
    composir("index", old / "examples" / "catalogue" / "images", "--gallery", "demo/gallery")
    index = DEMO["index"].__globals__
    monkeypatch.setitem(index, "CATALOGUE", clone / "examples" / "catalogue")
    monkeypatch.setitem(index, "DEMO", clone / "demo")
    monkeypatch.setitem(index, "run", lambda words: ran.append(composir(*words).exit_code))
    Path("examples/catalogue/gallery.jsonl").write_text('{"file": "red.png", "kind": "mug"}\n')
    ran: list[int] = []

    DEMO["index"]()

    assert ran == [0, 0]
    info = open_gallery(Path("demo/gallery")).info()
    assert (info.images, info.roots) == (8, (clone / "examples" / "catalogue" / "images",))
    DEMO["index"]()
    assert ran == [0, 0, 0]


def test_the_printed_commands_ask_what_the_demo_asks() -> None:
    for ask in DEMO["SEARCHES"]:
        program, verb, *words = shlex.split(ask.command())
        assert (program, verb) == ("composir", "search")
        asked = get_command(app).make_context(verb, words).params
        assert " ".join(asked["words"] or []) == ask.query().text
        assert tuple(asked["negatives"] or ()) == ask.negatives
        assert asked["where"] == ask.where
        if ask.image:
            [named] = asked["images"]
            assert (ROOT / named).samefile(ask.query().image)
