"""The training loop: exact resume, averaged weights, clear ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor, nn  # noqa: E402

from composir.errors import MissingExtraError, TrainingError  # noqa: E402
from composir.train import run_folder  # noqa: E402
from composir.train.config import Rate, Settings  # noqa: E402
from composir.train.loop import (  # noqa: E402
    CHECKPOINT,
    METRICS,
    LoopConfig,
    LoopOptions,
    ParameterGroup,
    learning_rate_factor,
    train,
)

pytestmark = pytest.mark.torch


class Regression:
    """Fits a matrix with noise drawn from torch's own generator, as dropout would."""

    def __init__(self, stop_at: int | None = None, nan_at: int | None = None) -> None:
        torch.manual_seed(3)
        self.layer = nn.Linear(4, 2)
        self.stop_at, self.nan_at = stop_at, nan_at
        self.last_raw: Tensor | None = None

    def groups(self) -> Sequence[ParameterGroup]:
        return [ParameterGroup(tuple(self.layer.parameters()), 0.05)]

    def loss(self, step: int) -> Tensor:
        if step == self.stop_at:
            raise KeyboardInterrupt
        inputs = torch.randn(8, 4)
        loss: Tensor = ((self.layer(inputs) - inputs[:, :2]) ** 2).mean()
        return loss * float("nan") if step == self.nan_at else loss

    def evaluate(self) -> dict[str, float]:
        return {"weight": float(self.layer.weight.detach().abs().sum())}


CONFIG = LoopConfig(steps=12, warmup=2, evaluate_every=4, checkpoint_every=4, average=0.9)


def weights(task: Regression) -> Tensor:
    return task.layer.weight.detach().clone()


def test_a_resumed_run_equals_an_uninterrupted_one_exactly(tmp_path: Path) -> None:
    whole = Regression()
    figures = train(whole, CONFIG, tmp_path / "whole", seed=7)
    with pytest.raises(KeyboardInterrupt):
        train(Regression(stop_at=7), CONFIG, tmp_path / "parts", seed=7)
    resumed = Regression()

    assert train(resumed, CONFIG, tmp_path / "parts", seed=7) == figures
    assert torch.equal(weights(resumed), weights(whole))


class RateSettings(Settings):
    rate: Rate


@pytest.mark.parametrize("step", [0, 3])
def test_a_run_writes_nothing_into_a_folder_that_another_run_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run_folder.claim(tmp_path, RateSettings(rate=0.1))
    task = Regression()
    usual = task.loss

    def taken_over() -> None:
        (tmp_path / run_folder.CONFIG).write_text('{"rate": 0.5}')

    def loss(at: int) -> Tensor:
        if at == step:
            taken_over()
        return usual(at)

    monkeypatch.setattr(task, "loss", loss)
    if step == 0:
        taken_over()
    with pytest.raises(TrainingError, match="taken over by a run of another configuration"):
        train(task, CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [run_folder.CONFIG]


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    one, other = Regression(), Regression()
    train(one, CONFIG, tmp_path / "1", seed=1)
    train(other, CONFIG, tmp_path / "2", seed=2)

    assert not torch.equal(weights(one), weights(other))


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="loss is nan at step 6"):
        train(Regression(nan_at=6), CONFIG, tmp_path)

    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 4


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)

    with pytest.raises(TrainingError, match=r"checkpoint\.pt does not fit this run or is damaged"):
        train(Regression(), CONFIG, tmp_path)


def test_a_checkpoint_of_another_model_is_a_clear_error(tmp_path: Path) -> None:
    train(Regression(), CONFIG, tmp_path)
    other = Regression()
    other.layer = nn.Linear(5, 2)

    with pytest.raises(TrainingError, match="does not fit this run"):
        train(other, CONFIG, tmp_path)


def test_the_averaged_weights_are_used_in_the_end(tmp_path: Path) -> None:
    task = Regression()
    train(task, CONFIG, tmp_path)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)

    assert torch.equal(weights(task), saved["average"][0])
    assert not torch.equal(weights(task), saved["parameters"][0])


def test_metrics_are_written_at_every_evaluation(tmp_path: Path) -> None:
    reported: list[int] = []
    train(Regression(), CONFIG, tmp_path, report=lambda record: reported.append(record["step"]))
    lines = (tmp_path / METRICS).read_text().splitlines()

    assert [json.loads(line)["step"] for line in lines] == reported == [4, 8, 12]


def test_the_rate_warms_up_and_ends_low() -> None:
    factors = [learning_rate_factor(step, CONFIG) for step in range(1, 13)]

    assert factors[:2] == [0.5, pytest.approx(0.02 + 0.98 * 0.9330127)]
    assert factors[-1] == pytest.approx(0.02)
    assert factors[1:] == sorted(factors[1:], reverse=True)


class Rising(Regression):
    """Its dev figure falls after the second evaluation; it counts in a state of its own."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__(stop_at)
        self.evaluations = 0

    def evaluate(self) -> dict[str, float]:
        self.evaluations += 1
        return {"figure": float(min(self.evaluations, 4 - self.evaluations))}

    def state(self) -> dict[str, int]:
        return {"evaluations": self.evaluations}

    def load_state(self, state: dict[str, int]) -> None:
        self.evaluations = state["evaluations"]


PATIENT = LoopConfig(steps=40, warmup=2, evaluate_every=4, checkpoint_every=4, average=0.9)
OPTIONS = LoopOptions(watch="figure", patience=2)


def test_a_run_stops_when_patience_ends_and_keeps_the_best_weights(tmp_path: Path) -> None:
    task = Rising()
    train(task, PATIENT, tmp_path, options=OPTIONS)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)

    assert saved["step"] == 16  # best at the second evaluation, two more without a better one
    assert torch.equal(weights(task), saved["watch"]["weights"][0])
    assert not torch.equal(weights(task), saved["average"][0])


def test_an_interrupted_run_keeps_its_patience_and_state(tmp_path: Path) -> None:
    whole = Rising()
    train(whole, PATIENT, tmp_path / "whole", options=OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        train(Rising(stop_at=11), PATIENT, tmp_path / "parts", options=OPTIONS)
    resumed = Rising()
    train(resumed, PATIENT, tmp_path / "parts", options=OPTIONS)
    train(Rising(), PATIENT, tmp_path / "parts", options=OPTIONS)  # over already: no step more

    assert torch.equal(weights(resumed), weights(whole))
    assert torch.load(tmp_path / "parts" / CHECKPOINT, weights_only=True)["step"] == 16


def test_a_watched_figure_must_exist(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no dev figure recall; there are: weight"):
        train(Regression(), CONFIG, tmp_path, options=LoopOptions(watch="recall"))
    with pytest.raises(TrainingError, match="needs watch"):
        LoopOptions().changed(patience=3)


def test_a_task_may_compute_its_own_gradients(tmp_path: Path) -> None:
    class Own(Regression):
        def backward(self, step: int) -> Tensor:
            loss = self.loss(step)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

    plain, own = Regression(), Own()
    train(plain, CONFIG, tmp_path / "1")
    train(own, CONFIG, tmp_path / "2")

    assert torch.equal(weights(plain), weights(own))
    with pytest.raises(TrainingError, match="loss is nan"):
        train(Own(nan_at=2), CONFIG, tmp_path / "3")


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    train(Regression(), CONFIG, tmp_path, writes=False)

    assert list(tmp_path.iterdir()) == []


def test_curves_without_tensorboard_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"composir\[tensorboard\]"):
        train(Regression(), CONFIG, tmp_path, options=LoopOptions(tensorboard=True))


def test_curves_get_a_point_for_every_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[tuple[str, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            points.append((name, step))

        def close(self) -> None:
            points.append(("closed", 0))

    module = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    train(Regression(), CONFIG, tmp_path, options=LoopOptions(tensorboard=True))

    assert ("loss", 4) in points
    assert ("weight", 12) in points
    assert points[-1] == ("closed", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("warmup", -1),
        ("weight_decay", -0.1),
        ("weight_decay", float("nan")),
        ("evaluate_every", 0),
        ("checkpoint_every", 0),
        ("checkpoint_every", -5),
        ("clip", 0.0),
        ("average", 1.5),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match=f"setting {name} is"):
        LoopConfig().changed(**{name: value})


def test_no_steps_leave_the_weights_as_they_begin(tmp_path: Path) -> None:
    task = Regression()
    before = weights(task)
    train(task, LoopConfig(steps=0), tmp_path)

    assert torch.equal(weights(task), before)
