"""Switches: no value in help, none on the command line."""

import re

import pytest
from typer.testing import CliRunner

from composir.cli import main
from tests.e2e.commands import composir


@pytest.mark.parametrize("words", [[], *([verb] for verb in main.VERBS), ["bench", "run"]], ids=str)
def test_help_shows_no_value_behind_a_switch(words: list[str]) -> None:
    shown = CliRunner().invoke(main.app, [*words, "--help"], env={"COLUMNS": "120"}).output
    assert "--help" in shown
    assert not re.search(r"<bool>|BOOLEAN", shown)


@pytest.mark.parametrize(
    "words",
    [
        ["search", "a dog", "--json", "true"],
        ["search", "--json", "TRUE", "a dog"],
        ["search", "a dog", "--json", "yes", "-k", "3"],
        ["search", "a dog", "--no-collapse", "0"],
        ["search", "a dog", "-0", "false"],
        ["index", "photos", "--retry-failures", "true"],
        ["info", "--json", "1"],
        ["doctor", "--json", "on"],
        ["bench", "run", "folder", "--no-cache", "true"],
        ["bench", "folder", "--no-cache", "true"],
        ["triplets", "make", "--yes", "true"],
    ],
    ids=" ".join,
)
def test_a_value_behind_a_switch_is_refused(words: list[str]) -> None:
    result = composir(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "is a switch" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["search", "--json", "on", "a", "beach"],
        ["search", "--json", "no", "people"],
        ["search", "true love", "--json"],
        ["search", "--json", "--", "true"],
        ["search", "dog", "--not", "true", "--json"],
        ["search", "--where", "--json", "true"],
        ["search", "--json", "true love"],
    ],
    ids=" ".join,
)
def test_words_are_words(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """All of them go on to the gallery, which is not there."""
    monkeypatch.setenv("COMPOSIR_GALLERY", "nowhere")
    result = composir(*words)
    assert result.exit_code == 2
    assert "no gallery at" in result.stderr
