"""Models by name and by path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from composir.data.files import TEMPORARY_PREFIX
from composir.errors import BundleError, ModelError
from composir.model import PACKAGED, load_model
from composir.model.installed import installed_folders, new_model
from tests.tiny_bundle import make_bundle


def test_the_packaged_model_is_the_default() -> None:
    model = load_model()

    assert (model.name, model.bundle.folder) == ("mini", PACKAGED["mini"])
    assert model.dimension == model.manifest.dimension


def test_a_bundle_folder_is_as_good_as_a_name() -> None:
    assert load_model(PACKAGED["mini"]).fingerprint == load_model("mini").fingerprint


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no model named maxi: here there are mini"):
        load_model("maxi")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no model bundle"):
        load_model(tmp_path)


def test_no_threads_are_refused() -> None:
    with pytest.raises(ModelError, match="threads must be at least 1, not 0"):
        load_model("mini", threads=0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path))
    return tmp_path


def test_added_models_go_by_their_names(home: Path) -> None:
    made = make_bundle(home / "models" / "tiny")
    assert load_model("tiny").bundle.folder == made.bundle.folder
    with pytest.raises(ModelError, match="no model named maxi: here there are mini, tiny"):
        load_model("maxi")


def test_a_packaged_name_is_never_another_model(home: Path) -> None:
    make_bundle(home / "models" / "mini", name="mini")
    assert load_model("mini").bundle.folder == PACKAGED["mini"]


def test_a_folder_that_holds_a_model_of_another_name_is_refused(home: Path) -> None:
    make_bundle(home / "models" / "copied")
    with pytest.raises(BundleError, match="holds the model tiny, not copied"):
        load_model("copied")


def test_a_known_model_that_is_not_here_says_how_to_add_it(home: Path) -> None:
    with pytest.raises(ModelError, match=r"composir models add openai/clip-vit-base-patch32$"):
        load_model("clip-vit-base-patch32")
    with pytest.raises(ModelError, match=r"models add open_clip:MobileCLIP2-S0/dfndr2b$"):
        load_model("mobileclip2-s0")


def test_a_bundle_folder_that_moved_is_told_apart_from_a_name(home: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no folder .*if the bundle was moved"):
        load_model(home / "gone")


def test_what_a_killed_process_left_is_no_model_and_goes_in_time(home: Path) -> None:
    left = [home / "models" / f"{TEMPORARY_PREFIX}{age}" for age in ("old", "new")]
    for folder in left:
        folder.mkdir(parents=True)
    os.utime(left[0], (0, 0))
    assert installed_folders() == {}
    with new_model("tiny") as building:
        make_bundle(building)
    assert [folder.exists() for folder in left] == [False, True]
    assert list(installed_folders()) == ["tiny"]


def test_of_two_processes_that_add_one_name_one_is_told(home: Path) -> None:
    with pytest.raises(ModelError, match="another process has added"), new_model("tiny"):
        make_bundle(home / "models" / "tiny")
    assert load_model("tiny").name == "tiny"
