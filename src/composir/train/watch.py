"""What is kept an eye on while a run goes: the best dev figure, and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from composir.errors import MissingExtraError, TrainingError


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
