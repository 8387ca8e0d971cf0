"""A gallery finds the bundle that made it, wherever that lies by now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from composir.data.places import GALLERY_MANIFEST
from composir.errors import BundleError, BundleMismatchError, ModelNotFoundError
from composir.gallery import Gallery, open_gallery
from composir.gallery.manifest import read_manifest
from composir.gallery.origin import identity_of
from composir.model import load_model
from tests.e2e.commands import paint
from tests.fakes import ColourModel
from tests.tiny_bundle import make_bundle

OTHER: dict[str, Any] = {
    "image": {"graph": "gallery_image.onnx", "preprocess": {"size": 8, "fit": "pad"}}
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gallery(home: Path) -> Path:
    """One picture, indexed with the bundle `tiny` in the folder `bundle`."""
    picture = paint(home / "photos" / "red.png", "red")
    opened = Gallery.create_or_open(home / "g", make_bundle(home / "bundle"))
    opened.index([picture.parent])
    return home / "g"


def test_the_folder_is_noted_and_found(gallery: Path, home: Path) -> None:
    bundle = read_manifest(gallery).bundle
    assert (bundle.name, bundle.folder) == ("tiny", str(home / "bundle"))
    assert open_gallery(gallery).model.fingerprint == bundle.fingerprint
    assert open_gallery(gallery).info().bundle_folder == home / "bundle"


def test_packaged_models_and_those_of_python_have_no_folder() -> None:
    assert identity_of(load_model()).folder is None
    assert identity_of(ColourModel()).folder is None


def test_a_bundle_that_moved_to_the_added_ones_is_found_by_name(gallery: Path, home: Path) -> None:
    (home / "home" / "models").mkdir(parents=True)
    (home / "bundle").rename(home / "home" / "models" / "tiny")
    assert open_gallery(gallery).model.name == "tiny"


def test_or_by_its_fingerprint_under_another_name(gallery: Path, home: Path) -> None:
    shutil.rmtree(home / "bundle")
    make_bundle(home / "home" / "models" / "renamed", name="renamed")
    make_bundle(home / "home" / "models" / "tiny", **OTHER)
    assert open_gallery(gallery).model.name == "renamed"


def test_indexing_again_notes_where_it_lies_now(gallery: Path, home: Path) -> None:
    (home / "bundle").rename(home / "moved")
    opened = open_gallery(gallery, load_model(home / "moved"))
    opened.index([home / "photos"])
    assert read_manifest(gallery).bundle.folder == str(home / "moved")


def test_galleries_of_earlier_versions_open_by_name(gallery: Path, home: Path) -> None:
    path = gallery / GALLERY_MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["bundle"]["folder"]
    path.write_text(json.dumps(manifest))
    assert read_manifest(gallery).bundle.folder is None
    make_bundle(home / "home" / "models" / "tiny")
    assert open_gallery(gallery).model.name == "tiny"


def test_a_bundle_that_is_gone_is_named_with_what_to_do(gallery: Path, home: Path) -> None:
    shutil.rmtree(home / "bundle")
    fingerprint = read_manifest(gallery).bundle.fingerprint
    with pytest.raises(ModelNotFoundError) as gone:
        _ = open_gallery(gallery).model
    told = str(gone.value)
    assert f"made with the bundle tiny of the fingerprint {fingerprint}" in told
    assert f"(it lay in {home / 'bundle'})" in told
    assert "composir models add SOURCE --name tiny" in told


def test_a_bundle_that_was_made_anew_in_its_place_is_refused(gallery: Path, home: Path) -> None:
    make_bundle(home / "bundle", **OTHER)
    with pytest.raises(BundleMismatchError, match="their vectors cannot be compared"):
        _ = open_gallery(gallery).model


def test_a_damaged_bundle_is_told_unless_there_is_a_sound_one(gallery: Path, home: Path) -> None:
    (home / "bundle" / "words.npy").unlink()
    with pytest.raises(BundleError, match=r"words\.npy is missing"):
        _ = open_gallery(gallery).model
    make_bundle(home / "home" / "models" / "tiny")
    assert open_gallery(gallery).model.name == "tiny"


def test_a_name_in_a_gallery_is_never_taken_for_a_path(gallery: Path, home: Path) -> None:
    """Galleries come from elsewhere too; only a folder that is noted as such is looked into."""
    path = gallery / GALLERY_MANIFEST
    manifest = json.loads(path.read_text())
    for name in (str(home / "bundle"), "bundle", "./bundle"):
        manifest["bundle"] |= {"name": name, "folder": "bundle"}
        path.write_text(json.dumps(manifest))
        with pytest.raises(ModelNotFoundError):
            _ = open_gallery(gallery).model
