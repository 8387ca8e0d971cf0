"""Names and seeds that nothing can be made with are refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from settings import MiniConfig

from composir.errors import TrainingError
from composir.train.baselines.text_only import TextMapConfig
from composir.train.composing.compose_config import ComposeConfig
from composir.train.config import read_config
from composir.train.isa.recipe import IsaConfig
from composir.train.mapping.recipe import MapConfig

pytestmark = pytest.mark.torch
CONFIGS: list[tuple[type, list[str]]] = [
    (MiniConfig, []),
    (IsaConfig, ["images=photos"]),
    (MapConfig, []),
    (ComposeConfig, ['triplets=["own.jsonl"]']),
    (TextMapConfig, []),
]
each = pytest.mark.parametrize(("kind", "needed"), CONFIGS, ids=[k.__name__ for k, _ in CONFIGS])


def made(kind: type, *assignments: str) -> Any:
    return read_config(kind, None, assignments)


@each
@pytest.mark.parametrize("name", ["Bad Name", "", "-x", "a/b", "é", "ok\\n"])
def test_a_name_that_no_manifest_takes(kind: type, needed: list[str], name: str) -> None:
    with pytest.raises(TrainingError, match=r"setting name is .*small letters"):
        made(kind, *needed, f'name="{name}"')


@each
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes(kind: type, needed: list[str], seed: int) -> None:
    with pytest.raises(TrainingError, match=f"setting seed is {seed}: it must be from 0"):
        made(kind, *needed, f"seed={seed}")


@each
def test_usual_names_and_seeds_pass(kind: type, needed: list[str]) -> None:
    config = made(kind, *needed, 'name="0my_own-v1.2"', f"seed={2**32 - 1}")
    assert (config.name, config.seed) == ("0my_own-v1.2", 2**32 - 1)
