"""The table of stage 2 beside the composers that come with the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from composir.compose.blend import BlendWeights  # noqa: E402
from composir.compose.trained import ComposerFolder, save_composer  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.model.bundle import save_manifest  # noqa: E402
from composir.train.composing.compose_config import ComposeConfig  # noqa: E402
from composir.train.composing.packaged import COMPOSE  # noqa: E402
from composir.train.composing.recipe import train_composing  # noqa: E402
from composir.train.config import read_config  # noqa: E402
from tests.torch.composing.tiny_start import (  # noqa: E402
    make_model,
    make_stage1,
    make_triplets,
)

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
UNTRAINED = ("max_triplets=0", "dev=0.2", "held_out=0.2")


def run(place: Path, bundle: str, out: str, *more: str) -> tuple[dict[str, Any], str]:
    """Rows of the table by method, and what was said."""
    settings = [f"model={place / bundle}", f"start={place / 'map'}", f"cache={place / 'cache'}"]
    settings += [f"triplets=['{place / 'triplets'}']", *UNTRAINED, *more]
    said: list[str] = []
    train_composing(read_config(ComposeConfig, None, settings), place / out, said.append)
    table = json.loads((place / out / "before_after.json").read_text())["before_after"]
    return {row.pop("method"): row for row in table}, "\n".join(said)


def put_into_bundle(composer: Path, bundle: Path, **fields: Any) -> None:
    """Make a trained composer come with a model, with some fields of its manifest changed."""
    made = ComposerFolder.load(composer).manifest
    place = bundle / "composers" / COMPOSE
    shutil.copytree(composer, place)
    kept = made.model_dump(exclude={"schema_version", "files"})
    save_composer(place, {**kept, "name": COMPOSE, **fields})
    manifest = load_model(bundle).manifest
    save_manifest(bundle, manifest.model_dump(exclude={"schema_version", "files"}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle `plain`, a run `first` on it, and a bundle `full` that brings that run's composer.

    The composer's own weights are for the reference's vector alone.
    """
    folder = tmp_path_factory.mktemp("packaged")
    make_stage1(folder / "map", make_model(folder / "plain"))
    make_triplets(folder / "triplets")
    run(folder, "plain", "first", "adapters.width=4")
    shutil.copytree(folder / "plain", folder / "full")
    weights = BlendWeights(sentence=0.0, image=1.0)
    put_into_bundle(folder / "first" / "composer", folder / "full", settings=weights)
    return folder


def test_the_table_holds_the_packaged_composer_with_its_own_weights(place: Path) -> None:
    before = json.loads((place / "first" / "before_after.json").read_text())["before_after"]
    rows, said = run(place, "full", "second", "adapters.width=8")
    packaged = rows.pop("packaged compose")

    assert packaged["weights"] == {"image": 1.0}
    assert packaged == rows["image alone"]
    assert rows == {row.pop("method"): row for row in before}
    assert list(rows)[-1] == "stage 2, weights chosen on dev"
    assert "R@1 of stage 2 minus the packaged compose: " in said
    card = (place / "second" / "composer" / "README.md").read_text()
    assert "| packaged compose | " in card


def test_the_composer_that_a_run_makes_again_is_not_compared_with(place: Path) -> None:
    rows, said = run(place, "full", "again", "adapters.width=4")

    assert "packaged compose" not in rows
    assert "minus the packaged" not in said


def test_a_damaged_packaged_composer_costs_no_run(place: Path) -> None:
    shutil.copytree(place / "full", place / "damaged")
    manifest = place / "damaged" / "composers" / COMPOSE / "composer.json"
    manifest.write_bytes(b"[" + manifest.read_bytes()[1:])
    rows, said = run(place, "damaged", "third", "adapters.width=8")

    assert "packaged compose" not in rows
    assert "the table goes without the packaged compose: " in said
    assert (place / "third" / "composer" / "composer.json").is_file()
