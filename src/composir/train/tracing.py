"""PyTorch modules to ONNX graphs, without warnings that do not concern whoever trains."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]


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
