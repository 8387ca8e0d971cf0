"""What a run keeps while it goes: checkpoints, the best dev figure, and curves.

Checkpoints are read with every check: a damaged one must not be trained on.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from composir.data.files import open_regular
from composir.errors import MissingExtraError, TrainingError

_KEYS = ("step", "parameters", "average", "optimiser")


def load_checkpoint(path: Path, parameters: Sequence[Tensor], steps: int) -> dict[str, Any]:
    """Load what a run saved."""
    with open_regular(path) as file:
        _refuse_packed(file)
        file.seek(0)
        state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(key in state for key in _KEYS):
        raise ValueError(f"it holds no {', '.join(_KEYS)}")
    if type(state["step"]) is not int or not 0 <= state["step"] <= steps:
        raise ValueError(f"it is of step {str(state['step'])[:20]}, and the run has {steps:,}")
    _check_shapes("parameters", state["parameters"], parameters)
    _check_shapes("averaged weights", state["average"], parameters)
    _check_watch(state.get("watch") or {}, parameters)
    check_finite(state)
    return state


def check_finite(state: object) -> None:
    """Refuse numbers that are NaN or infinite, in whatever a state is made of."""
    for tensor in _tensors(state):
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError("a tensor claims more numbers than are stored")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError("it holds weights that are NaN or infinite")


def check_optimiser(optimiser: torch.optim.Optimizer, own: Sequence[dict[str, Any]]) -> None:
    """Refuse the state of an optimiser that another one has left."""
    for group, before in zip(optimiser.param_groups, own, strict=True):
        for name, value in before.items():
            if name not in {"params", "lr", "initial_lr"} and group.get(name) != value:
                raise ValueError(f"its optimiser has another {name}")
    for parameter, kept in optimiser.state.items():
        for value in kept.values():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError("its optimiser is that of other weights")


def _refuse_packed(file: BinaryIO) -> None:
    """Torch stores tensors as they are; what is packed would unpack to any size."""
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no file that torch.save has written")
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is packed, which torch.save never does")


def _check_shapes(what: str, found: object, parameters: Sequence[Tensor]) -> None:
    wanted = [tuple(parameter.shape) for parameter in parameters]
    if not isinstance(found, list) or not all(isinstance(item, Tensor) for item in found):
        raise ValueError(f"its {what} are no list of tensors")
    if [tuple(item.shape) for item in found] != wanted:
        raise ValueError(f"its {what} have other shapes than this run's")


def _check_watch(state: object, parameters: Sequence[Tensor]) -> None:
    if not isinstance(state, dict):
        raise ValueError("its record of the best figure is none")  # noqa: TRY004 - damage
    best, waited = state.get("best", 0.0), state.get("waited", 0)
    if not isinstance(best, float) or math.isnan(best) or type(waited) is not int:
        raise ValueError("its best figure is no number")
    if state.get("weights"):
        _check_shapes("best weights", state["weights"], parameters)


def _tensors(state: object) -> Iterator[Tensor]:
    """All tensors in nested containers, without recursion."""
    waiting = [state]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


class Watch:
    """The best value of one dev figure, the weights that had it, and how long ago it was.

    Attributes:
        weights: Copies of the best averaged weights; empty while nothing is watched.
    """

    def __init__(self, figure: str, patience: int) -> None:
        """Watch a figure; an empty name watches nothing."""
        self._figure, self._patience = figure, patience
        self._best, self._waited = -math.inf, 0
        self.weights: list[Tensor] = []

    @property
    def over(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self._patience <= self._waited

    def see(self, figures: Mapping[str, float], weights: Sequence[Tensor]) -> None:
        """Compare an evaluation with the best so far."""
        if not self._figure:
            return
        if self._figure not in figures:
            raise TrainingError(
                f"options.watch: no dev figure {self._figure}; there are: {', '.join(figures)}"
            )
        self._waited += 1
        if figures[self._figure] > self._best:
            self._best, self._waited = figures[self._figure], 0
            self.weights = [weight.detach().clone() for weight in weights]

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best": self._best, "waited": self._waited, "weights": self.weights}

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take back what `state` gave; nothing from checkpoints before there was a watch."""
        if state:
            self._best, self._waited = state["best"], state["waited"]
            self.weights = [weight.to(device) for weight in state["weights"]]


class Curves:
    """Numbers of every metrics record as curves for TensorBoard, where that is asked for."""

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingExtraError("tensorboard", "tensorboard") from error
            self._writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a point to every curve."""
        if self._writer is not None:
            for name, value in record.items():
                if name != "step":
                    self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Write what is not written yet."""
        if self._writer is not None:
            self._writer.close()
