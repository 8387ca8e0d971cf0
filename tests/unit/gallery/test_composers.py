"""The composers that a gallery keeps open: one a folder, and few in all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from composir.compose.base import Composer
from composir.errors import QueryError
from composir.gallery import composers
from composir.gallery.composers import ComposerShelf
from tests.fakes import ColourModel


class Opened:
    """Counts what is opened in place of trained composers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        monkeypatch.setattr(composers, "load_composer", self.load)

    def load(self, name: str, model: ColourModel) -> Composer:
        self.names.append(str(name))
        from composir.compose import load_composer

        return load_composer("sum", model)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    return Opened(monkeypatch)


def test_all_spellings_of_a_folder_are_one_composer(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "trained"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shelf, model = ComposerShelf(), ColourModel()
    spellings: list[str | Path] = [folder, "runs/trained", "~/runs/trained", "link"]
    spellings += [f"runs{'/.' * n}/trained" for n in range(60)]
    spellings.append(f"runs{os.sep}..{os.sep}runs/trained/")

    found = {id(shelf.get(spelling, model)) for spelling in spellings}

    assert len(found) == len(opened.names) == len(shelf) == 1


def test_few_are_kept_and_those_used_last(opened: Opened, tmp_path: Path) -> None:
    shelf, model = ComposerShelf(kept=3), ColourModel()
    for name in "abcd":
        shelf.get(tmp_path / "a", model)
        shelf.get(tmp_path / name, model)

    assert len(shelf) == 3
    assert [Path(name).name for name in opened.names] == ["a", "b", "c", "d"]
    shelf.get(tmp_path / "b", model)
    assert len(opened.names) == 5


def test_names_and_the_default_are_one(opened: Opened) -> None:
    shelf, model = ComposerShelf(), ColourModel()
    assert shelf.get(None, model) is shelf.get("sum", model)
    assert opened.names == ["sum"]


def test_a_folder_of_a_composers_name_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sum").mkdir()
    monkeypatch.chdir(tmp_path)
    assert ComposerShelf().get("sum", ColourModel()).name.startswith("sum")


def test_what_cannot_be_opened_is_not_kept() -> None:
    shelf = ComposerShelf()
    for wrong in ("nowhere", "a\0b", "~nobody-of-this-name/x"):
        with pytest.raises(QueryError):
            shelf.get(wrong, ColourModel())
    assert len(shelf) == 0
