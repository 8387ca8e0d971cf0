"""Trained parts of a composer to ONNX: checked against torch, weights stored as int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from composir.errors import TrainingError
from composir.model.text_graph import PLACE, SWITCH
from composir.train.borrowed import borrow_tensors
from composir.train.foundation.export import export_text, quantise_weights
from composir.train.tracing import trace_to_onnx

if TYPE_CHECKING:
    from composir.train.composing.adapters import SwitchableTower

PARITY = 1e-3


def export_query_graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    *,
    quantise: bool = True,
) -> float:
    """Write a query graph whose first axes are the batch.

    Args:
        module: Takes the inputs in order; gives one tensor or a tuple.
        inputs: Examples by input name, two rows or more.
        outputs: Names of what it gives, in order.
        path: The `.onnx` file; its folder is made.
        quantise: Store large weights as int8, computed in float32.

    Returns:
        Largest difference to torch before quantisation, relative to the output's largest value.

    Raises:
        TrainingError: If the graph disagrees with torch by more than `PARITY`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    trace_to_onnx(module, inputs, outputs, path)
    gap = _gap(module, inputs, outputs, path)
    if not gap <= PARITY:
        raise TrainingError(f"{path.name} differs from torch by {gap:.2e}, more than {PARITY}")
    if quantise:
        quantise_weights(path)
        forget_node_names(path)
    return gap


def forget_node_names(path: Path) -> None:
    """Leave a graph's nodes without names, which nothing asks for: 20 kB that need not travel."""
    import onnx

    model = onnx.load(str(path))
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, str(path))


def export_adapted_text(
    tower: SwitchableTower,
    path: Path,
    lender: Path | None = None,
    *,
    quantise: bool = True,
    placed: bool = False,
) -> float:
    """Write an adapted text encoder: the inputs and outputs of the bundle's own, and the switch.

    Args:
        tower: With adapters.
        path: The `.onnx` file.
        lender: The bundle's text graph, whose int8 tensors are not stored again (`borrowed`).
        quantise: Store large weights as int8.
        placed: Whether it is told where sentences are pooled, as in bundles with a framing.

    Returns:
        Largest difference to torch before quantisation.

    Raises:
        TrainingError: If the graph disagrees with torch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {SWITCH: torch.tensor([1.0, 0.0])}
    if placed:
        more[PLACE] = torch.tensor([8, 5])
    gap = export_text(tower, tower.width, path, quantise=quantise, **more)
    if lender is not None:
        borrow_tensors(path, lender)
    return gap


def _gap(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {name: value.numpy() for name, value in inputs.items()}
    ours = session.run(list(outputs), feeds)
    with torch.inference_mode():
        given = module(*inputs.values())
    theirs = given if isinstance(given, tuple) else (given,)
    gaps = [
        float(np.abs(mine - its.numpy()).max() / max(float(its.abs().max()), 1e-6))
        for mine, its in zip(ours, theirs, strict=True)
    ]
    return max(gaps)
