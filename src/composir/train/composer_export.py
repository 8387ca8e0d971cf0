"""Trained parts of a composer to ONNX: checked against torch, weights stored as int8."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from composir.errors import TrainingError
from composir.foundation.quantise import quantised
from composir.model.sessions import open_session
from composir.model.text_graph import PLACE, SWITCH
from composir.train.graph_weights import arithmetic_of, quantise_weights, share_initializers
from composir.types import FloatArray

if TYPE_CHECKING:
    from composir.train.composing.adapters import SwitchableTower

PARITY = 1e-3
# Largest difference of a text graph's vectors, before weights are quantised.
TEXT_PARITY = 1e-4


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
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    trace_to_onnx(module, inputs, outputs, path)
    pairs = _compared(path, module, inputs, outputs)
    gaps = [np.abs(mine - its).max() / max(np.abs(its).max(), 1e-6) for mine, its in pairs]
    gap = _within(PARITY, float(max(gaps)), path)
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
    holder: Path | None = None,
    *,
    placed: bool = False,
) -> float:
    """Write an adapted text encoder: the inputs and outputs of the bundle's own, and the switch.

    Args:
        tower: With adapters.
        path: The `.onnx` file.
        holder: The bundle's text graph: with adapters off the new one computes just what it does,
            in the same arithmetic, and what it holds is not stored again (`graph_weights`). None
            for int8 weights and nothing borrowed.
        placed: Whether it is told where sentences are pooled, as in bundles with a framing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {SWITCH: torch.tensor([1.0, 0.0])}
    if placed:
        more[PLACE] = torch.tensor([8, 5])
    arithmetic = "int8 weights" if holder is None else arithmetic_of(holder)
    gap = export_text(tower, tower.width, path, quantise=arithmetic == "int8 weights", **more)
    if arithmetic == "int8":
        quantised(path, path)
    if holder is not None:
        share_initializers(path, holder)
    return gap


def _compared(
    path: Path, module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> list[tuple[FloatArray, FloatArray]]:
    """What a graph gives under some names, and what its module gives first."""
    ours = open_session(path).run(
        list(outputs), {name: one.numpy() for name, one in inputs.items()}
    )
    with torch.inference_mode():
        given = module(*inputs.values())
    theirs = given if isinstance(given, tuple) else (given,)
    return [(mine, its.numpy()) for mine, its in zip(ours, theirs, strict=False)]


def _within(most: float, gap: float, path: Path) -> float:
    if not gap <= most:
        raise TrainingError(f"{path.name} differs from torch by {gap:.2e}, more than {most}")
    return gap


class _TextGraph(nn.Module):
    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(
        self, word_embeddings: Tensor, mask: Tensor, *more: Tensor
    ) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.tower(word_embeddings, mask, *more)
        return outputs


def export_text(
    tower: nn.Module, width: int, path: Path, *, quantise: bool, **more: Tensor
) -> float:
    """Write a text graph: `word_embeddings` and `mask` to `vector` and `token_states`."""
    graph = _TextGraph(tower).eval()
    words = torch.randn(2, 9, width) * 0.05
    mask = torch.ones(2, 9)
    mask[1, 6:] = 0.0
    axes = {0: "n", 1: "length"}
    inputs = {"word_embeddings": words, "mask": mask, **more}
    ragged = {"word_embeddings": axes, "mask": axes, "token_states": axes}
    outputs = ["vector", "token_states"]
    return export_tower(graph, inputs, outputs, path, ragged, quantise=quantise)


def export_tower(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    axes: Mapping[str, Mapping[int, str]] | None = None,
    *,
    quantise: bool,
) -> float:
    """Write a tower's graph, whose first output are vectors; its weights keep torch's names.

    Returns:
        Largest difference of a vector to torch before weights are quantised, at most `TEXT_PARITY`.
    """
    trace_to_onnx(module, inputs, outputs, path, axes)
    (ours, theirs), *_ = _compared(path, module, inputs, outputs[:1])
    gap = _within(TEXT_PARITY, float(np.abs(ours - theirs).max()), path)
    _name_weights(path, module)
    if quantise:
        quantise_weights(path)
    return gap


def _name_weights(path: Path, module: nn.Module) -> None:
    """Give a graph's large weights the names that they have in torch.

    The exporter folds transposed matrices and numbers them. Named `tower.head.linear.weight`, or
    with `.T` behind it where the graph holds the transpose, they can be read back for training
    (`train.frozen`) without another file in the bundle.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    names: dict[bytes, str] = {}
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            matrix = parameter.detach().numpy()
            names[np.ascontiguousarray(matrix.T).tobytes()] = f"{name}.T"
            names[np.ascontiguousarray(matrix).tobytes()] = name
    renamed = {}
    for tensor in model.graph.initializer:
        known = names.get(numpy_helper.to_array(tensor).tobytes(), tensor.name)
        if known != tensor.name:
            renamed[tensor.name] = known
            tensor.name = known
    for node in model.graph.node:
        for place, source in enumerate(node.input):
            node.input[place] = renamed.get(source, source)
    onnx.save(model, str(path))
