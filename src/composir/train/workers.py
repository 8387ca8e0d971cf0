"""One process or several: who computes which rows, and how they come together.

Several GPUs run through `accelerate launch --num_processes N "$(command -v composir)" train isa`;
each process then encodes its slice of every batch, and all see the same gathered batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from composir.errors import MissingExtraError, TrainingError

CPU = torch.device("cpu")


DeviceName: TypeAlias = Literal["auto", "cpu", "cuda"]


def training_device(name: DeviceName = "auto") -> torch.device:
    """Where to train: with `auto` on a GPU if torch finds one, else on the CPU.

    Raises:
        TrainingError: If `cuda` is asked for and torch finds no GPU.
    """
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise TrainingError(
            f"--device cuda: torch {torch.__version__} finds no GPU here (its CPU builds never "
            "do); to train without one: --device cpu"
        )
    return torch.device("cuda", torch.cuda.current_device()) if found and name != "cpu" else CPU


class Workers:
    """The processes of one training run: this one alone.

    Attributes:
        rank: This one's number, from 0; 0 writes files.
        count: How many there are.
        device: This one's.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self.rank, self.count, self.device = 0, 1, device

    def main_first(self) -> AbstractContextManager[Any]:
        """Process 0 runs what is within before the others do, e.g. to fill a cache."""
        return nullcontext()

    def gather(self, rows: Tensor) -> Tensor:
        """Join everyone's rows by rank, without gradient; all have the same number of rows."""
        return rows

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes."""


class AccelerateWorkers(Workers):
    """The processes that `accelerate launch` has started."""

    def __init__(self, device: DeviceName = "auto") -> None:
        """Join them; which of several GPUs is this one's, the launcher says."""
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("accelerate", "accelerate") from error
        self._accelerator = Accelerator(cpu=training_device(device) == CPU)
        self.rank: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        self.device: torch.device = self._accelerator.device

    def main_first(self) -> AbstractContextManager[Any]:
        """Others wait until process 0 has left."""
        waiting: AbstractContextManager[Any] = self._accelerator.main_process_first()
        return waiting

    def gather(self, rows: Tensor) -> Tensor:
        """Everyone's rows, by rank."""
        gathered: Tensor = self._accelerator.gather(rows.contiguous())
        return gathered

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum over processes; a parameter without gradient counts as zero."""
        for parameter in parameters:
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self._accelerator.reduce(own, reduction="sum")


def open_workers(device: DeviceName = "auto") -> Workers:
    """Several processes where a launcher started several, else this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return AccelerateWorkers(device)
    return Workers(training_device(device))


def own_slice(rows: int, workers: Workers) -> slice:
    """Which rows of a batch this process encodes."""
    share, rest = divmod(rows, workers.count)
    if rest:
        raise TrainingError(
            f"a batch of {rows} cannot be shared by {workers.count} processes: make it a multiple"
        )
    return slice(workers.rank * share, (workers.rank + 1) * share)
