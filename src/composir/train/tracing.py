"""PyTorch modules to ONNX graphs, without warnings that do not concern whoever trains."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from composir.model.sessions import open_session


def trace_to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """Write a module's graph."""
    batched = {name: {0: "n"} for name in (*inputs, *outputs)}
    with warnings.catch_warnings():
        # Sizes are fixed but for those axes, which is what the tracer warns about; whoever writes a
        # graph to keep compares it with the module afterwards.
        warnings.simplefilter("ignore", TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={**batched, **(axes or {})},
            dynamo=False,
        )


class HasLower(Protocol):
    """A network whose lower part runs alone."""

    def lower(self, pixels: Tensor) -> Tensor:
        """Pixels to what the upper part takes."""


class _Lower(nn.Module):
    def __init__(self, network: HasLower) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.lower(pixels)


def lower_runner(network: HasLower, example: Tensor) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A network's lower part on ONNX Runtime, which is faster than torch on a CPU.

    Args:
        network: On the CPU.
        example: Pixels of one picture.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lower.onnx"
        trace_to_onnx(_Lower(network), {"pixels": example}, ["features"], path)
        session = open_session(path)
    return lambda pixels: session.run(["features"], {"pixels": pixels})[0]
