"""The demo asks about pictures that are there, with commands that parse."""

import runpy
import shlex
from pathlib import Path

from typer.main import get_command

from composir.cli.search import app

ROOT = Path(__file__).resolve().parents[2]
DEMO = runpy.run_path(str(ROOT / "examples" / "demo.py"))


def test_every_reference_of_the_demo_is_in_the_catalogue() -> None:
    references = [ask.image for ask in DEMO["SEARCHES"] if ask.image]
    assert len(references) >= 4
    for name in references:
        assert (DEMO["CATALOGUE"] / "images" / name).is_file(), name


def test_the_printed_commands_ask_what_the_demo_asks() -> None:
    for ask in DEMO["SEARCHES"]:
        program, verb, *words = shlex.split(ask.command())
        assert (program, verb) == ("composir", "search")
        asked = get_command(app).make_context(verb, words).params
        assert " ".join(asked["words"] or []) == ask.query().text
        assert tuple(asked["negatives"] or ()) == ask.negatives
        assert asked["where"] == ask.where
        if ask.image:
            assert (ROOT / asked["image"]).samefile(ask.query().image)
