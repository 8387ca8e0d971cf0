"""`composir forget` as a user meets it."""

import json
from pathlib import Path

import pytest

from composir.cli import models
from composir.gallery import open_gallery
from composir.gallery.rows import image_id
from tests.e2e.commands import composir, paint_all
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import scene


@pytest.fixture(autouse=True)
def two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders of eight pictures each in the default gallery; one has a failure."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.chdir(tmp_path)
    paint_all(Path("a"))
    paint_all(Path("b", "trip"))
    Path("b", "bad.jpg").write_bytes(b"no picture")
    assert composir("index", "a", "b", "--exclude", "thumbs").exit_code == 0


def facts() -> dict[str, object]:
    return dict(json.loads(composir("info", "--json").stdout))


def test_a_folder_is_forgotten_with_all_that_was_known_of_it(tmp_path: Path) -> None:
    result = composir("forget", "b", "--yes")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "b"
    assert result.stdout == (
        f"forgotten: 8 pictures, 1 that could not be read, the folder {folder}; 8 left\n"
    )
    left = facts()
    assert (left["images"], left["failures"]) == (8, 0)
    assert left["excludes"] == {str(tmp_path / "a"): ["thumbs"]}
    assert len(list(Path("b", "trip").iterdir())) == 8
    assert len(json.loads(composir("search", "red", "--json").stdout)["hits"]) == 8


def test_without_yes_it_says_how_many_and_forgets_nothing() -> None:
    result = composir("forget", "b")
    assert result.exit_code == 2
    assert "this would forget 8 pictures, 1 that could not be read, the folder" in result.stderr
    assert "add --yes" in result.stderr
    assert facts()["images"] == 16


@pytest.mark.parametrize(("answer", "left"), [(True, 8), (False, 16)])
def test_people_are_asked(monkeypatch: pytest.MonkeyPatch, answer: bool, left: int) -> None:
    asked: list[str] = []

    def confirm(question: str, **_settings: object) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("composir.cli.terminal.is_asked_by_people", lambda: True)
    monkeypatch.setattr("composir.cli.terminal.confirm", confirm)
    result = composir("forget", "b")
    assert asked[0].startswith("forget 8 pictures, ")
    assert result.exit_code == (0 if answer else 2)
    assert facts()["images"] == left


def test_a_folder_inside_of_a_root_says_that_it_may_come_back(tmp_path: Path) -> None:
    result = composir("forget", "b/trip", "b/bad.jpg", "--yes", "--json")
    assert json.loads(result.stdout) == {
        "gallery": str(tmp_path / "gallery"),
        "images": 8,
        "failures": 1,
        "roots": [],
        "covered_by": [str(tmp_path / "b")],
        "total": 8,
    }
    assert facts()["roots"] == [str(tmp_path / "a"), str(tmp_path / "b")]
    again = composir("forget", "a/red.png", "--yes")
    assert f"comes back with: composir index {tmp_path / 'a'}" in again.stderr


def test_a_folder_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    Path("a").rename("elsewhere")
    assert composir("forget", "a", "--yes").exit_code == 0
    assert facts()["roots"] == [str(tmp_path / "b")]


def test_unknown_folders_are_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    result = composir("forget", "a", "c", "--yes")
    assert result.exit_code == 2
    assert f"knows nothing of {tmp_path / 'c'}; nothing was forgotten" in result.stderr
    assert f"{tmp_path / 'a'}, {tmp_path / 'b'}" in result.stderr
    assert facts()["images"] == 16


def test_what_is_forgotten_leaves_the_disk(tmp_path: Path) -> None:
    """Its thumbnail above all; of a row that is only marked as dropped it would stay."""
    scene(5).save(Path("a", "odd.png"))
    composir("index", "a")
    gallery = open_gallery(tmp_path / "gallery")
    wanted = image_id(tmp_path / "a" / "odd.png")
    jpeg = gallery.thumbnail(wanted)
    ids = gallery.vectors()[0]

    def is_on_disk() -> bool:
        files = [path for path in gallery.path.rglob("*") if path.is_file()]
        return any(jpeg in path.read_bytes() for path in files)

    assert is_on_disk()
    assert composir("forget", "a/odd.png", "--yes").exit_code == 0
    assert not is_on_disk()
    assert gallery.vectors()[0] == [one for one in ids if one != wanted]
    assert composir("forget", "a", "b", "--yes").exit_code == 0
    assert facts()["images"] == 0
