"""What results call a trained composer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from composir.compose import load_composer
from composir.model import Model
from tests.tiny_bundle import make_bundle, make_composer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that comes with a composer named `compose`."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    make_composer(folder / "composers" / "compose", make_bundle(folder), name="compose")
    return make_bundle(folder)


@pytest.mark.parametrize(
    ("place", "name", "called"),
    [
        ("shop/composer", "compose", "shop/compose"),
        ("compose/composer", "compose", "compose/compose"),
        ("compose", "compose", "compose/compose"),
        ("sum/composer", "sum", "sum/sum"),
        ("shop/composer", "shop", "shop"),
        ("shop", "isa", "shop/isa"),
        ("both/composer-isa", "isa-compose", "both/isa/isa-compose"),
        ("shop\x1b[1m/composer", "isa", r"shop\x1b[1m/isa"),
    ],
)
def test_a_folder_says_its_run_and_its_own_name(
    model: Model, tmp_path: Path, place: str, name: str, called: str
) -> None:
    folder = make_composer(tmp_path / place, model, "pixels", name=name)
    assert load_composer(folder, model).name == called
    assert load_composer(folder, model, image=0.5).name == called


def test_a_relative_folder_is_named_by_where_it_lies(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_composer(tmp_path / "shop" / "composer", model, name="isa"))
    assert load_composer(".", model).name == "shop/isa"


def test_what_comes_with_the_model_goes_by_its_name(model: Model, tmp_path: Path) -> None:
    assert load_composer("compose", model).name == "compose"
    copy = tmp_path / "elsewhere"
    shutil.copytree(model.composer_folders()["compose"], copy)
    assert load_composer(copy, model).name == "compose"


def test_folders_open_after_the_submodule_replace_is_loaded(model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "shop" / "composer", model, "pixels", name="isa")
    assert load_composer("replace", model).name == "replace"
    assert load_composer(folder, model).name == "shop/isa"
