"""One plain training loop: schedule, clipping, averaged weights, metrics, checkpoint, exact resume.

A task says what its loss at a step is, from the step's number alone; so a resumed run sees the same
batches and draws as an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor, nn

from composir.errors import TrainingError
from composir.train.config import Between, Every, Settings, Share, Steps, Weight
from composir.train.run_checkpoint import (
    Curves,
    Watch,
    check_finite,
    check_optimiser,
    load_checkpoint,
)
from composir.train.run_folder import refuse_taken_over

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"


class LoopConfig(Settings):
    """How to step.

    Attributes:
        steps: In all.
        warmup: Steps of linear warm-up; a cosine to 2 % follows.
        weight_decay: Of AdamW, for matrices.
        clip: Largest gradient norm.
        average: Decay of the exponential moving average of the weights that is kept in the end.
        evaluate_every: Steps between evaluations on the dev split.
        checkpoint_every: Steps between checkpoints.
    """

    steps: Steps = 600
    warmup: Steps = 50
    weight_decay: Weight = 0.05
    clip: Annotated[float, Between(1e-9, 1e9)] = 1.0
    average: Share = 0.99
    evaluate_every: Every = 100
    checkpoint_every: Every = 50


class LoopOptions(Settings):
    """What a run may add to its loop; apart from `LoopConfig`, which old run folders record.

    Attributes:
        precision: On a GPU: `auto` takes bfloat16 where the GPU computes in it, for a plain task's
            loss and for what a `BackwardTask` encodes. On a CPU always float32.
        watch: A figure of the dev split, higher is better; the weights that were best by it are
            kept in the end.
        patience: Stop after this many evaluations without a better figure; 0: never.
        tensorboard: Write curves for TensorBoard too (extra `tensorboard`).
    """

    precision: Literal["auto", "float32"] = "auto"
    watch: str = ""
    patience: Steps = 0
    tensorboard: bool = False

    @model_validator(mode="after")
    def _waits_for_something(self) -> Self:
        if self.patience and not self.watch:
            raise ValueError("patience needs watch, a dev figure")
        return self


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a peak learning rate."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float


class TrainingTask(Protocol):
    """What is trained."""

    def groups(self) -> Sequence[ParameterGroup]:
        """Everything that is trained, in a fixed order."""

    def loss(self, step: int) -> Tensor:
        """Loss at a step, a function of the step's number and the weights alone."""

    def evaluate(self) -> dict[str, float]:
        """Figures on the dev split with the weights as they are."""


@runtime_checkable
class BackwardTask(Protocol):
    """A task that computes gradients itself, e.g. in chunks or with other processes."""

    def backward(self, step: int) -> Tensor:
        """Add the gradients of a step's loss to the parameters; the loss, detached."""


@runtime_checkable
class StatefulTask(Protocol):
    """A task with state beside its parameters, which the checkpoint then carries."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""


Report: TypeAlias = Callable[[dict[str, Any]], None]


def train(
    task: TrainingTask,
    config: LoopConfig,
    folder: Path,
    seed: int = 0,
    report: Report | None = None,
    options: LoopOptions | None = None,
    *,
    writes: bool = True,
) -> dict[str, float]:
    """Train a task; go on from the folder's checkpoint if there is one; the last dev figures.

    The folder gets `checkpoint.pt` and `metrics.jsonl` if this process `writes`, as one of several
    does; `seed` and the step's number seed torch before each step.
    """
    refuse_taken_over(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = options or LoopOptions()
    run = _Loop(task, config, chosen)
    first = run.resume(folder / CHECKPOINT) + 1
    curves = Curves(folder, tensorboard=chosen.tensorboard and writes)
    started = time.monotonic()
    for step in range(first, config.steps + 1):
        if run.watch.over:
            break
        torch.manual_seed(seed * 1_000_003 + step)
        loss = run.step(step)
        last = step == config.steps
        if last or step % config.evaluate_every == 0:
            record = {"step": step, "loss": loss, "seconds": time.monotonic() - started}
            record |= run.evaluate_average()
            _publish(record, folder, curves, report if writes else None, writes=writes)
        if writes and (last or run.watch.over or step % config.checkpoint_every == 0):
            run.save(folder / CHECKPOINT, step)
    curves.close()
    run.use_average()
    return task.evaluate()


def drawn_rows(rows: int, step: int, count: int, seed: int) -> list[int]:
    """The step's part of an endless sequence of seeded shuffles: every row once an epoch."""
    places = range((step - 1) * count, step * count)
    orders = {epoch: _order(seed, epoch, rows) for epoch in {place // rows for place in places}}
    return [int(orders[place // rows][place % rows]) for place in places]


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, rows)).permutation(rows)


def mixed_precision(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Compute in bfloat16 on a GPU that does; else leave everything as it is."""
    if precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Leave a loss's bfloat16 for what has no gradient.

    The weights that autocast has cast there, without gradient, would be taken for the loss too.
    """
    return torch.autocast("cuda", enabled=False) if device.type == "cuda" else nullcontext()


def learning_rate_factor(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then a cosine from 1 to 0.02."""
    if step < config.warmup:
        return step / config.warmup
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    return 0.02 + 0.98 * cosine


class _Loop:
    """Optimiser, averaged weights and their checkpoint."""

    def __init__(self, task: TrainingTask, config: LoopConfig, options: LoopOptions) -> None:
        self.task, self.config, self.options = task, config, options
        self.watch = Watch(options.watch, options.patience)
        self.groups = list(task.groups())
        self.parameters = [p for group in self.groups for p in group.parameters]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": chosen, "lr": group.learning_rate, "weight_decay": decay}
                for group in self.groups
                for chosen, decay in _by_decay(group, config.weight_decay)
            ],
            betas=(0.9, 0.98),
        )
        self.peaks = [group["lr"] for group in self.optimiser.param_groups]

    def step(self, step: int) -> float:
        factor = learning_rate_factor(step, self.config)
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        self.optimiser.zero_grad()
        loss = self._backward(step)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self.optimiser.step()
        decay = min(self.config.average, step / (step + 10))
        for average, parameter in zip(self.average, self.parameters, strict=True):
            average.lerp_(parameter.detach(), 1.0 - decay)
        return float(loss.detach())

    def _backward(self, step: int) -> Tensor:
        if isinstance(self.task, BackwardTask):
            loss = self.task.backward(step)
            self._check(loss, step)
            return loss
        with mixed_precision(self.parameters[0].device, self.options.precision):
            loss = self.task.loss(step)
        self._check(loss, step)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _check(self, loss: Tensor, step: int) -> None:
        if not torch.isfinite(loss):
            raise _diverged(f"the loss is {loss.item()}", step)

    def evaluate_average(self) -> dict[str, float]:
        self._swap()
        try:
            figures = self.task.evaluate()
        finally:
            self._swap()
        self.watch.see(figures, self.average)
        return figures

    def use_average(self) -> None:
        """Leave the task with the weights that are kept."""
        self.average = self.watch.weights or self.average
        self._swap()

    def _swap(self) -> None:
        for index, parameter in enumerate(self.parameters):
            current = parameter.detach().clone()
            parameter.data.copy_(self.average[index])
            self.average[index] = current

    def save(self, path: Path, step: int) -> None:
        refuse_taken_over(path.parent)
        try:
            check_finite(self.parameters)
        except ValueError as error:
            raise _diverged("weights are NaN or infinite", step) from error
        state = {
            "step": step,
            "parameters": [p.detach() for p in self.parameters],
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "watch": self.watch.state(),
            "task": self.task.state() if isinstance(self.task, StatefulTask) else {},
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> int:
        """Load a checkpoint if there is one; the number of steps done."""
        if not path.exists():
            return 0
        try:
            state = load_checkpoint(path, self.parameters, self.config.steps)
            for parameter, saved in zip(self.parameters, state["parameters"], strict=True):
                parameter.data.copy_(saved)
            self.average = [
                saved.to(p.device)
                for saved, p in zip(state["average"], self.parameters, strict=True)
            ]
            own = [dict(group) for group in self.optimiser.param_groups]
            self.optimiser.load_state_dict(state["optimiser"])
            check_optimiser(self.optimiser, own)
            self.watch.load_state(state.get("watch", {}), self.parameters[0].device)
            if isinstance(self.task, StatefulTask):
                self.task.load_state(state["task"])
        except Exception as error:  # torch raises many kinds for damaged files
            raise TrainingError(
                f"{path} does not fit this run or is damaged ({error}); "
                "remove it to start again, or choose another --out"
            ) from error
        return int(state["step"])


def _diverged(what: str, step: int) -> TrainingError:
    return TrainingError(
        f"{what} at step {step}; the last checkpoint is kept: "
        "lower the learning rate or raise the temperature, then run the same command"
    )


def _by_decay(group: ParameterGroup, weight_decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Matrices decay; biases, norms and scalars do not."""
    matrices = [p for p in group.parameters if p.ndim > 1]
    others = [p for p in group.parameters if p.ndim <= 1]
    return [(c, d) for c, d in ((matrices, weight_decay), (others, 0.0)) if c]


def _publish(
    record: dict[str, Any], folder: Path, curves: Curves, report: Report | None, *, writes: bool
) -> None:
    if writes:
        refuse_taken_over(folder)
        with (folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    curves.add(record)
    if report:
        report(record)
