"""One process or several: who computes which rows, and how they come together.

Several GPUs run through `accelerate launch --num_processes N "$(command -v composir)" train isa`;
each process then encodes its slice of every batch, and all see the same gathered batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from composir.errors import MissingExtraError, TrainingError


class Workers(Protocol):
    """The processes of one training run.

    Attributes:
        rank: This one's number, from 0; 0 writes files.
        count: How many there are.
        device: This one's.
    """

    rank: int
    count: int
    device: torch.device

    def main_first(self) -> AbstractContextManager[Any]:
        """Process 0 runs what is within before the others do, e.g. to fill a cache."""

    def gather(self, rows: Tensor) -> Tensor:
        """Join everyone's rows by rank, without gradient; all have the same number of rows."""

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes."""


class OneWorker:
    """This process alone, on the GPU if there is one."""

    def __init__(self, device: torch.device | None = None) -> None:
        """Choose the device if none is given."""
        self.rank, self.count = 0, 1
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def main_first(self) -> AbstractContextManager[Any]:
        """There is nobody to wait for."""
        return nullcontext()

    def gather(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to add."""


class AccelerateWorkers:
    """The processes that `accelerate launch` has started."""

    def __init__(self) -> None:
        """Join them."""
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("accelerate", "accelerate") from error
        self._accelerator = Accelerator()
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


def open_workers() -> Workers:
    """Several processes where a launcher started several, else this one."""
    return AccelerateWorkers() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else OneWorker()


def own_slice(rows: int, workers: Workers) -> slice:
    """Which rows of a batch this process encodes."""
    share, rest = divmod(rows, workers.count)
    if rest:
        raise TrainingError(
            f"a batch of {rows} cannot be shared by {workers.count} processes: make it a multiple"
        )
    return slice(workers.rank * share, (workers.rank + 1) * share)
