"""A gallery as plain files: `composir export page`. web/tests searches them in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from composir.cli import models
from composir.serve import page_export
from composir.serve.page_export import DOCUMENT
from tests.e2e.commands import composir, paint_all
from tests.fakes import COLOURS
from tests.tiny_bundle import make_bundle, make_composer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds an indexed gallery of pictures with metadata, whose model brings a composer `isa`."""
    model = make_bundle(tmp_path / "tiny")
    make_composer(tmp_path / "tiny" / "composers" / "isa", model, "pixels", name="isa")
    make_composer(tmp_path / "tiny" / "composers" / "map", model, "vector", name="map")
    moving = {"name": "moving", "vector": True, "settings": {"image": 1.0, "learned": 1.0}}
    make_composer(tmp_path / "tiny" / "composers" / "moving", model, "pixels", **moving)
    whole = make_bundle(tmp_path / "tiny")
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: whole)
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    paint_all(tmp_path / "pictures")
    (tmp_path / "shop.csv").write_text("file,price\nred.png,3.5\n")
    done = composir("index", tmp_path / "pictures", "--metadata", tmp_path / "shop.csv")
    assert done.exit_code == 0, done.output
    return tmp_path


def test_a_page_holds_all_that_a_browser_needs_and_not_where_it_was_made(folder: Path) -> None:
    shown = composir("export", "page", "--out", folder / "site")
    assert shown.exit_code == 0, shown.output
    assert f"in all, with {len(COLOURS)} pictures" in shown.stdout

    site = folder / "site"
    assert f'content="{DOCUMENT}"' in (site / "index.html").read_text()
    document = json.loads((site / DOCUMENT).read_text())
    assert (document["composer"], document["gallery"]) == ("isa", "pictures")
    assert {image["path"] for image in document["images"]} == {f"{name}.png" for name in COLOURS}
    priced = {image["path"]: image["metadata"] for image in document["images"]}
    assert priced["red.png"] == {"price": 3.5}
    vectors = np.fromfile(site / "vectors.bin", "<f2").reshape(-1, document["dimension"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(COLOURS)), abs=0.01)
    for image in document["images"]:
        assert (site / "thumbnails" / f"{image['id']}.jpg").read_bytes()[:2] == b"\xff\xd8"
    needed = ["words.bin", "tokenizer.json", document["text"]["graph"], "query.onnx"]
    assert all((site / "model" / name).is_file() for name in needed)
    texts = [file.read_bytes() for file in site.rglob("*") if file.suffix in {".json", ".html"}]
    assert not any(str(folder).encode() in text for text in texts)


def test_some_pictures_of_it(folder: Path) -> None:
    shown = composir("export", "page", "--out", folder / "site", "--limit", "2", "--json")
    assert json.loads(shown.stdout)["images"] == 2
    assert len([*(folder / "site" / "thumbnails").iterdir()]) == 2


def test_a_folder_that_holds_anything_is_left_alone(folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "mine.txt").write_text("mine")
    shown = composir("export", "page", "--out", folder / "site")
    assert shown.exit_code == 2
    assert "name a new or empty folder" in " ".join(shown.stderr.split())
    assert [path.name for path in (folder / "site").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("composer", "why"),
    [
        ("sum", "is arithmetic on the gallery's encoder"),
        ("map", "needs the gallery's encoder"),
        ("moving", "blends in what the page does not compute (learned)"),
    ],
)
def test_a_composer_that_runs_in_no_browser_is_refused(
    folder: Path, composer: str, why: str
) -> None:
    shown = composir("export", "page", "--out", folder / "site", "--composer", composer)
    assert shown.exit_code == 2
    assert f"the composer {composer} {why}" in " ".join(shown.stderr.split())
    assert not (folder / "site").exists()


def test_a_gallery_that_is_too_large_says_how_to_take_some(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_export, "MOST_PAGE_PICTURES", 3)
    shown = composir("export", "page", "--out", folder / "site")
    assert shown.exit_code == 2
    assert "take some of them with --limit 3" in " ".join(shown.stderr.split())
    assert not (folder / "site").exists()
