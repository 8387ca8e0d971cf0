"""The "Train your own" of the README on a tiny model: mapping, edits, composing, search."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from PIL import Image  # noqa: E402

from tests.e2e.commands import composir  # noqa: E402
from tests.torch.towers import make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
LOOP = ("loop.steps=2", "loop.warmup=1", "loop.evaluate_every=2", "loop.checkpoint_every=2")
MAP = ("objective.batch=6", "objective.negatives=4", "objective.bank=8", "mapper.width=16")
COMPOSE = (
    "composing.batch=4",
    "adapters.width=4",
    "mining.pool=6",
    "mining.hardest=4",
    "mining.refresh_every=2",
    "dev=0.2",
    "held_out=0.2",
)


def settings(folder: Path, *values: str) -> list[str]:
    chosen = (*LOOP, *values, f"cache={json.dumps(str(folder / 'cache'))}")
    return [word for value in chosen for word in ("--set", value)]


def run(*words: str | Path) -> str:
    result = composir(*words)
    assert result.exit_code == 0, f"{words}\n{result.output}"
    return result.stdout


def test_from_photos_to_a_search_with_ones_own_composer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    make_bundle(tmp_path / "models" / "tiny")
    model = ("--model", "models/tiny")
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(30):
        coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((80, 60)).save(tmp_path / "photos" / f"{number:02}.png")

    run("train", "map", *model, "--images", "photos", "--out", "map", *settings(tmp_path, *MAP))
    run("triplets", "edit", "--images", "photos", "--count", "40", "--out", "triplets")
    started = ("--from", "map", "--triplets", "triplets", "--out", "own")
    run("train", "compose", *model, *started, *settings(tmp_path, *COMPOSE))
    run("index", "photos", *model, "--gallery", "gallery")
    asked = ("--gallery", "gallery", *model, "--image", "photos/00.png", "at night", "--json")
    answer = json.loads(run("search", *asked, "--composer", "own/composer"))

    assert answer["composer"] == "own/compose"
    assert len(answer["hits"]) == 10
    assert "00.png" not in {Path(hit["path"]).name for hit in answer["hits"]}
    wrong = composir("search", "--gallery", "gallery", *model, "a", "--composer", "own")
    assert wrong.exit_code == 2
