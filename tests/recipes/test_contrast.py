"""The contrast task: what is frozen stays, what is drawn is fair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from contrast import Bank, ContrastTask  # noqa: E402
from corpus import Split, TrainingPicture  # noqa: E402
from settings import ContrastConfig  # noqa: E402
from texts import TextBank  # noqa: E402

from composir.errors import TrainingError  # noqa: E402
from composir.train.isa.efficientnet_lite import CACHE_STAGE  # noqa: E402
from composir.train.loop import LoopConfig, train  # noqa: E402
from tests.torch.towers import SIZE, image_tower, text_tower, tokenizer, words  # noqa: E402

pytestmark = pytest.mark.torch
SOURCE = "flickr8k-train"
TEXTS = ("red lamp", "blue lamp", "a dog", "photo of a red dog", "lamp of a dog")


@pytest.fixture(autouse=True)
def small_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texts.load_tokenizer", tokenizer)


def make_task(*, joint: bool, count: int = 10, batch: int = 4) -> ContrastTask:
    image, text = image_tower(), text_tower()
    lower = image.trunk.lower(torch.zeros(1, 3, SIZE, SIZE))
    shape = (lower if joint else image.trunk.upper(lower)).shape[1:]
    features = np.random.default_rng(0).random((count, *shape)).astype(np.float16)
    splits: list[Split] = ["dev", "dev", *["train" for _ in range(count - 2)]]  # type: ignore[list-item]
    pictures = [
        TrainingPicture(SOURCE, Path(f"{row}.jpg"), (TEXTS[row % 5],), split)
        for row, split in enumerate(splits)
    ]
    config = ContrastConfig(
        batch={SOURCE: batch}, text_blocks=1 if joint else 0, image_stages=joint
    )
    texts = TextBank(text, words(), TEXTS, config.text_blocks)
    return ContrastTask((image, text), {SOURCE: Bank(pictures, [features])}, texts, config, seed=1)


@pytest.mark.parametrize("joint", [False, True])
def test_frozen_parts_do_not_change_and_trained_ones_do(tmp_path: Path, joint: bool) -> None:
    task = make_task(joint=joint)
    modules = {"image": task.image, "text": task.text}
    before = {
        f"{side}.{name}": parameter.detach().clone()
        for side, module in modules.items()
        for name, parameter in module.named_parameters()
    }
    trained = {id(p) for group in task.groups() for p in group.parameters}
    train(task, LoopConfig(steps=3, warmup=1), tmp_path)

    moved = set()
    for side, module in modules.items():
        for name, parameter in module.named_parameters():
            changed = not torch.equal(parameter.detach(), before[f"{side}.{name}"])
            assert not changed or id(parameter) in trained, name
            assert parameter.grad is None or id(parameter) in trained, name
            moved |= {f"{side}.{name}"} if changed else set()
    assert {"image.head.project.weight", "text.projection.weight"} <= moved
    upper = any(name.startswith(f"image.trunk.stages.{CACHE_STAGE}.") for name in moved)
    assert upper == joint
    assert any(name.startswith("text.blocks.1.") for name in moved) == joint
    assert not any(name.startswith("text.blocks.0.") for name in moved)


def test_every_row_is_drawn_once_an_epoch() -> None:
    task = make_task(joint=False, count=14, batch=5)
    drawn = [row for step in range(1, 13) for row in task._draw(SOURCE, step, 5)]

    for epoch in range(5):
        assert sorted(drawn[12 * epoch : 12 * (epoch + 1)]) == list(range(2, 14))
    assert drawn[:12] != drawn[12:24]


def test_a_step_draws_the_same_whenever_it_is_asked() -> None:
    task = make_task(joint=False)
    first = float(task.evaluate()[f"{SOURCE}/recall@1"])
    task.image.eval()
    torch.manual_seed(4)
    one = float(task.loss(3).detach())
    task.loss(4)
    torch.manual_seed(4)

    assert float(task.loss(3).detach()) == one
    assert 0.0 <= first <= 100.0


def test_a_source_without_training_pictures_is_named() -> None:
    task = make_task(joint=False)
    with pytest.raises(TrainingError, match="no training pictures of cats"):
        ContrastTask(
            (task.image, task.text), task.banks, task.texts, ContrastConfig(batch={"cats": 2}), 0
        )
