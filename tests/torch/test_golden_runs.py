"""Every recipe on tiny towers and a seed gives the numbers that it gave before.

The values were taken when the recipes got one frame (`train.run`); runs before and after it were
equal to the last digit. The margin is for other machines. They were taken anew when word
statistics began to count words as often as texts use them (all), when ISA's tokens became slots
with penalties and there were more phrases (`isa`, `map`), and when injection began with a last
projection of zero and alignment with equal temperatures (`map`, `compose`).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.train.baselines.text_only import TextMapConfig, train_text_map  # noqa: E402
from composir.train.composing.compose_config import ComposeConfig  # noqa: E402
from composir.train.composing.recipe import STAGE, train_composing  # noqa: E402
from composir.train.config import read_config  # noqa: E402
from composir.train.isa.recipe import IsaConfig, train_isa  # noqa: E402
from composir.train.loop import METRICS  # noqa: E402
from composir.train.mapping.recipe import MapConfig, train_map  # noqa: E402
from tests.torch.composing.test_composing_recipe import SMALL  # noqa: E402
from tests.torch.composing.tiny_start import make_triplets  # noqa: E402
from tests.torch.isa.makers import pictures  # noqa: E402
from tests.torch.mapping.data import write_data_set  # noqa: E402
from tests.torch.towers import make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
LOOP = ("loop.steps=3", "loop.warmup=1", "loop.evaluate_every=1", "loop.checkpoint_every=3")
MAP = (
    *("objective.batch=6", "objective.negatives=4", "objective.bank=8", "sources.dev_share=0.2"),
    *("mapper.width=32", "mapper.injection_heads=2", "mapper.injection_width=16"),
)
ISA = (
    *("token_learner.num_tokens=2", "token_learner.width=16", "token_learner.heads=4"),
    *("token_learner.attention_width=8", "objective.batch=4", "objective.gcd.queue=6"),
    *("objective.lar.width=8", "dev_share=0.3", "side=symmetric", "objective.lar.group=3"),
    "objective.likeness_weight=1.0",
)
GOLDEN = {
    "map": [34.0520, 54.5246, 34.9585],
    "compose": [3.9337, 4.3524, 3.1494],
    "text": [0.2303, 0.4735, 0.2235],
    "isa": [5.7123, 17.0044, 10.6676],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    make_bundle(folder / "tiny", appearance=True)
    write_data_set(folder / "own")
    pictures(folder / "photos", 16)
    make_triplets(folder / "triplets")
    return folder


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / METRICS).read_text().splitlines()]


def told(home: Path, *settings: str) -> list[str]:
    return [f"model={home / 'tiny'}", f"cache={home / 'cache'}", *LOOP, *settings]


def test_mapping_and_composing(home: Path, tmp_path: Path) -> None:
    own = f"sources.data={home / 'own'}"
    config = read_config(MapConfig, None, told(home, own, *MAP))
    train_map(config, tmp_path / "map", lambda _: None)
    assert losses(tmp_path / "map") == pytest.approx(GOLDEN["map"], rel=0.01)

    steps = [f"start={tmp_path / 'map'}", f"triplets={home / 'triplets'}"]
    chosen = [*(one for one in SMALL if not one.startswith("loop.")), *steps]
    made = train_composing(
        read_config(ComposeConfig, None, told(home, *chosen)), tmp_path / "compose", lambda _: None
    )
    assert losses(tmp_path / "compose" / STAGE) == pytest.approx(GOLDEN["compose"], rel=0.01)
    assert made.kind == "adapted"


def test_text_only_mapping(home: Path, tmp_path: Path) -> None:
    few = [f"sources.data={home / 'own'}", "mapper.width=32", "objective.batch=4"]
    config = read_config(TextMapConfig, None, told(home, "mapper.injection_layers=0", *few))
    train_text_map(config, tmp_path, lambda _: None)
    assert losses(tmp_path) == pytest.approx(GOLDEN["text"], rel=0.01)


def test_isa(home: Path, tmp_path: Path) -> None:
    config = read_config(IsaConfig, None, told(home, f"images={home / 'photos'}", *ISA))
    train_isa(config, tmp_path, lambda _: None)
    assert losses(tmp_path) == pytest.approx(GOLDEN["isa"], rel=0.01)
