"""Composers of one bundle that share files: found, checked, packaged, taken out again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from shared_graphs import copy_complete, package, share_graphs
from typer.testing import CliRunner

from composir.cli.main import app
from composir.compose import load_composer
from composir.compose.trained import MANIFEST_NAME, ComposerFolder, save_composer
from composir.device.query_export import export_query_side
from composir.errors import BundleError
from composir.model import Bundle, Model
from composir.train.blend import BlendChoice, record_choice
from tests.tiny_bundle import make_bundle, make_composer

FIELDS: dict[str, Any] = {
    "model": {"name": "mini", "fingerprint": "gallery"},
    "text": "0" * 64,
    "input": "patch_tokens",
    "tokens": 4,
    "word_dimension": 384,
    "licence": "none",
}
ADAPTED = {"kind": "adapted", "text_graph": "text.onnx"}
SENTENCE = {"kind": "sentence"}


@pytest.fixture
def composers(tmp_path: Path) -> Path:
    """Of a bundle: `map`, and `one` and `two` made of it, with the same text graph."""
    place = tmp_path / "bundle" / "composers"
    package(made(tmp_path, "map", SENTENCE, query="mapper"), place)
    package(made(tmp_path, "one", ADAPTED, query="mapper", text="adapted"), place)
    package(made(tmp_path, "two", ADAPTED, query="mapper", text="adapted"), place)
    return place


def made(place: Path, name: str, fields: dict[str, Any], **graphs: str) -> ComposerFolder:
    """A run's composer, with graphs of these contents."""
    folder = place / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for graph, content in graphs.items():
        (folder / f"{graph}.onnx").write_text(content)
    (folder / "README.md").write_text("card")
    save_composer(folder, FIELDS | fields | {"name": name})
    return ComposerFolder.load(folder)


def held(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {MANIFEST_NAME}


def holders(folder: Path) -> dict[str, str | None]:
    return {n: e.in_composer for n, e in ComposerFolder.load(folder).manifest.shared.items()}


def contents(composers: Path) -> dict[str, dict[str, str]]:
    """What every composer gives out, each file checked."""
    opened = [ComposerFolder.load(folder) for folder in sorted(composers.iterdir())]
    return {
        one.folder.name: {name: one.file(name).read_text() for name in one.manifest.files}
        for one in opened
    }


def test_the_first_packaged_holds_the_file(composers: Path) -> None:
    assert held(composers / "map") == {"query.onnx", "README.md"}
    assert held(composers / "one") == {"text.onnx", "README.md"}
    assert held(composers / "two") == {"README.md"}
    assert holders(composers / "two") == {"query.onnx": "map", "text.onnx": "one"}
    both = {"query.onnx": "mapper", "text.onnx": "adapted", "README.md": "card"}
    map_alone = {"query.onnx": "mapper", "README.md": "card"}
    assert contents(composers) == {"map": map_alone, "one": both, "two": both}


def test_sharing_does_not_change_the_fingerprint(tmp_path: Path, composers: Path) -> None:
    run = ComposerFolder.load(tmp_path / "runs" / "two")
    assert ComposerFolder.load(composers / "two").fingerprint == run.fingerprint


def test_a_manifest_that_shares_nothing_does_not_mention_it(composers: Path) -> None:
    assert "in_composer" not in (composers / "map" / MANIFEST_NAME).read_text()
    entries = json.loads((composers / "two" / MANIFEST_NAME).read_text())["files"]
    assert entries["text.onnx"]["in_composer"] == "one"
    assert set(entries["README.md"]) == {"bytes", "sha256"}


def test_shared_files_are_checked_like_own_ones(composers: Path) -> None:
    (composers / "map" / "query.onnx").write_text("MAPPER")
    with pytest.raises(BundleError, match=r"map.query\.onnx is damaged .*checksum"):
        ComposerFolder.load(composers / "two").file("query.onnx")
    (composers / "map" / "query.onnx").write_text("")
    with pytest.raises(BundleError, match=r"map.query\.onnx is damaged: 0 bytes"):
        ComposerFolder.load(composers / "two")


def test_a_composer_moved_out_says_what_to_do(tmp_path: Path, composers: Path) -> None:
    moved = shutil.copytree(composers / "one", tmp_path / "mine" / "one")
    with pytest.raises(BundleError, match=r"shares query\.onnx with the composer map.*map along"):
        ComposerFolder.load(moved)
    shutil.copytree(composers / "map", tmp_path / "mine" / "map")
    assert ComposerFolder.load(moved).file("query.onnx").read_text() == "mapper"


def test_links_and_relative_paths_find_the_sibling(
    tmp_path: Path, composers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(composers / "two")
    assert ComposerFolder.load(link).file("text.onnx").read_text() == "adapted"
    monkeypatch.chdir(composers / "two")
    assert ComposerFolder.load(Path()).file("text.onnx").read_text() == "adapted"


@pytest.mark.parametrize("name", ["..", ".", "", "../..", "a/b", "a\\b", "/etc", "map\n"])
def test_a_holder_is_a_plain_name(composers: Path, name: str) -> None:
    path = composers / "two" / MANIFEST_NAME
    raw = json.loads(path.read_text())
    raw["files"]["query.onnx"]["in_composer"] = name
    path.write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=r"not a valid manifest: files\.query\.onnx\.in_composer"):
        ComposerFolder.load(composers / "two")


def test_a_copy_is_complete_in_itself(tmp_path: Path, composers: Path) -> None:
    copy = copy_complete(ComposerFolder.load(composers / "two"), tmp_path / "out" / "two")
    shutil.rmtree(composers)
    assert copy.manifest.shared == {}
    assert copy.file("query.onnx").read_text() == "mapper"
    assert copy.file("text.onnx").read_text() == "adapted"


def test_a_replaced_holder_gives_back_what_it_no_longer_has(
    tmp_path: Path, composers: Path
) -> None:
    before = contents(composers)
    package(made(tmp_path, "one", ADAPTED, query="mapper", text="other"), composers)

    assert holders(composers / "two") == {"query.onnx": "map"}
    assert contents(composers)["two"] == before["two"]
    assert contents(composers)["one"]["text.onnx"] == "other"


def test_those_who_get_a_file_back_share_it_again(tmp_path: Path, composers: Path) -> None:
    before = contents(composers)
    package(made(tmp_path, "map", SENTENCE, query="new mapper"), composers)

    assert sum("query.onnx" in held(composers / name) for name in ("one", "two")) == 1
    assert {name: contents(composers)[name] for name in ("one", "two")} == {
        name: before[name] for name in ("one", "two")
    }
    assert contents(composers)["map"]["query.onnx"] == "new mapper"


@pytest.mark.parametrize("name", ["map", "one", "two"])
def test_packaging_the_same_again_changes_nothing(composers: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in composers.rglob("*") if path.is_file()}
    package(ComposerFolder.load(composers / name), composers)
    assert {path: path.read_bytes() for path in composers.rglob("*") if path.is_file()} == before


def test_what_others_rely_on_is_not_given_up(tmp_path: Path, composers: Path) -> None:
    twin = shutil.copytree(tmp_path / "runs" / "map", composers / "a-map")
    save_composer(twin, FIELDS | SENTENCE | {"name": "a-map"})
    assert share_graphs(composers / "map") == ()
    assert share_graphs(twin) == ("query.onnx",)
    assert contents(composers)["a-map"]["query.onnx"] == "mapper"


def test_a_blend_can_be_recorded_where_files_are_shared(composers: Path) -> None:
    before = ComposerFolder.load(composers / "two").manifest
    record_choice(composers / "two", BlendChoice({"image": 0.5}, 50.0, {"dev": 50.0}, 7))

    after = ComposerFolder.load(composers / "two").manifest
    assert after.settings.image == 0.5
    assert after.shared == before.shared


def test_a_bundle_lists_files_of_its_own_only(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "tiny").bundle.folder
    manifest = folder / "bundle.json"
    raw = json.loads(manifest.read_text())
    raw["files"]["text.onnx"]["in_composer"] = "map"
    manifest.write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=r"text\.onnx\.in_composer: is not known"):
        Bundle.load(folder)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A bundle in which the composer `second` has the query graph of `first`."""
    model = make_bundle(tmp_path / "tiny")
    for name in ("first", "second"):
        run = make_composer(tmp_path / "runs" / name, model, "pixels", name=name)
        package(ComposerFolder.load(run), tmp_path / "tiny" / "composers")
    return make_bundle(tmp_path / "tiny")


def test_the_query_side_of_a_sharing_composer_is_exported_whole(
    tmp_path: Path, model: Model
) -> None:
    second = ComposerFolder.load(model.composer_folders()["second"])
    assert holders(second.folder) == {"query.onnx": "first"}
    written = export_query_side(second, tmp_path / "device").folder
    shutil.rmtree(model.bundle.folder)
    expected = tmp_path / "runs" / "second" / "query.onnx"
    assert (written / "query.onnx").read_bytes() == expected.read_bytes()


def test_a_sharing_composer_is_loaded_by_name_and_told_by_info(
    tmp_path: Path, model: Model
) -> None:
    assert load_composer("second", model).name == "second"
    from composir.gallery import Gallery

    gallery = Gallery.create_or_open(tmp_path / "gallery", model)
    called = ["info", "--gallery", str(gallery.path), "--model", str(model.bundle.folder)]
    shown = CliRunner().invoke(app, called)
    assert shown.exit_code == 0, shown.output
    assert "first, second" in shown.output
