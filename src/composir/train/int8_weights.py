"""int8 weights for a graph: one scale an output channel, computed in float32.

The runtime expands them at loading. Quantising activations too would make a vector depend on its
batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from composir.device.client.wire import quantised

# Smaller weights stay in float32: biases, norms and the first convolution cost nothing.
MIN_QUANTISED = 2048


def quantise_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 by row: (n, ...) to values of the same shape and scales (n,)."""
    values, scales = quantised(matrix.reshape(len(matrix), -1))
    return values.reshape(matrix.shape), np.maximum(scales, np.float32(1e-12))


def quantise_weights(path: Path) -> None:
    """Replace the large weights of a graph by int8 values and a node that expands them.

    Convolutions are scaled by output channel (axis 0); matrices of linear layers, which the
    exporter may have transposed, by their output axis too.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    axes = _output_axes(graph)
    kept, nodes = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name not in axes or array.size < MIN_QUANTISED or array.dtype != np.float32:
            kept.append(tensor)
            continue
        axis = axes[tensor.name]
        values, scales = quantise_rows(np.moveaxis(array, axis, 0))
        stored = np.ascontiguousarray(np.moveaxis(values, 0, axis))
        zero = np.zeros(len(scales), np.int8)
        parts: dict[str, NDArray[Any]] = {"int8": stored, "scale": scales, "zero": zero}
        names = {part: f"{tensor.name}_{part}" for part in parts}
        kept += [numpy_helper.from_array(value, names[part]) for part, value in parts.items()]
        nodes.append(
            helper.make_node("DequantizeLinear", list(names.values()), [tensor.name], axis=axis)
        )
    _replace(graph.initializer, kept)
    _replace(graph.node, [*nodes, *graph.node])
    # Stale shapes of the replaced tensors would contradict the new graph.
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _output_axes(graph: Any) -> dict[str, int]:
    """Which axis of each weight counts output channels."""
    axes: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            axes[node.input[1]] = 0
        elif node.op_type == "MatMul":
            axes[node.input[1]] = 1
        elif node.op_type == "Gemm":
            transposed = any(item.name == "transB" and item.i for item in node.attribute)
            axes[node.input[1]] = 0 if transposed else 1
    return axes


def _replace(field: Any, items: list[Any]) -> None:
    copies = [type(item)() for item in items]
    for copy, item in zip(copies, items, strict=True):
        copy.CopyFrom(item)
    del field[:]
    field.extend(copies)
