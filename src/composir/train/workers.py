"""One process or several: who computes which rows, and how they come together.

Several GPUs run through `accelerate launch --num_processes N "$(command -v composir)" train isa`;
each process then encodes its slice of every batch, and all see the same gathered batch.

Gradients are accumulated with the contrast of the whole batch (GradCache, arXiv 2101.06983), which
needs every row's encoding at once, but not every row's activations: chunks are encoded without
gradients, the loss gives the gradient of each encoding, and chunks are encoded again, one at a
time, to carry those gradients into the weights. The sum equals the whole batch's gradient.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias, TypeVar

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


Chunk = TypeVar("Chunk")
Encodings: TypeAlias = tuple[Tensor, ...]


def backward_in_chunks(
    encode: Callable[[Chunk], Encodings],
    chunks: Sequence[Chunk],
    contrast: Callable[..., Tensor],
    workers: Workers | None = None,
) -> Tensor:
    """Add the gradients of a batch's loss to all weights that `encode` uses.

    Random draws of `encode` (dropout) are the same in both passes.
    """
    together = workers or Workers()
    draws, parts = [], []
    for chunk in chunks:
        draws.append(_random_state())
        with torch.no_grad():
            parts.append(encode(chunk))
    own = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
    whole = [together.gather(tensor).detach().requires_grad_() for tensor in own]
    loss = contrast(*whole)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [_own_gradient(w, o, together.rank) for w, o in zip(whole, own, strict=True)]
    after = _random_state()
    done = [0] * len(own)
    for chunk, draw in zip(chunks, draws, strict=True):
        _restore(draw)
        done = _carry(encode(chunk), gradients, done)
    _restore(after)
    return loss.detach()


def _own_gradient(whole: Tensor, own: Tensor, rank: int) -> Tensor:
    gradient = torch.zeros_like(whole) if whole.grad is None else whole.grad
    return gradient[rank * len(own) : (rank + 1) * len(own)]


def _carry(encodings: Encodings, gradients: Sequence[Tensor], done: Sequence[int]) -> list[int]:
    """Backward through one chunk; how many rows of each tensor are done then."""
    reached = [at + len(tensor) for at, tensor in zip(done, encodings, strict=True)]
    pairs = [
        (tensor, gradient[at:to])
        for tensor, gradient, at, to in zip(encodings, gradients, done, reached, strict=True)
        if tensor.requires_grad
    ]
    torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
    return reached


def _random_state() -> tuple[Tensor, Sequence[Tensor]]:
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
    return torch.get_rng_state(), gpus


def _restore(state: tuple[Tensor, Sequence[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(list(state[1]))
