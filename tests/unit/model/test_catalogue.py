"""Models by name and by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from composir.errors import BundleError, ModelError
from composir.model import PACKAGED, load_model


def test_the_packaged_model_is_the_default() -> None:
    model = load_model()

    assert (model.name, model.bundle.folder) == ("mini", PACKAGED["mini"])
    assert model.dimension == model.manifest.dimension


def test_a_bundle_folder_is_as_good_as_a_name() -> None:
    assert load_model(PACKAGED["mini"]).fingerprint == load_model("mini").fingerprint


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no model named maxi: known names are mini"):
        load_model("maxi")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no model bundle"):
        load_model(tmp_path)


def test_no_threads_are_refused() -> None:
    with pytest.raises(ModelError, match="threads must be at least 1, not 0"):
        load_model("mini", threads=0)
