"""Weights of graphs: as int8 with one scale an output channel, or borrowed from another graph.

int8 weights are expanded by the runtime at loading, and computed with in float32: quantising
activations too would make a vector depend on its batch.

An adapted text encoder is the model's own with few weights more: of the 13 MB that one would have,
11 are the frozen tower's matrices, byte for byte. They are left where they are, in the bundle's
text graph, as ONNX external data: a file name, an offset and a length. Reading such a graph needs
the runtime alone (`model.sessions.open_session`), and a composer is bound to its model's text graph
by checksum anyway.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.device.client.wire import quantised
from composir.foundation.export import MIN_BYTES

# Smaller weights stay in float32: biases, norms and the first convolution cost nothing.
MIN_QUANTISED = 2048
Arithmetic: TypeAlias = Literal["float32", "int8 weights", "int8"]
"""How a graph keeps its matrices and multiplies by them: `int8` does both with integers."""


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


def share_initializers(graph: Path, holder: Path) -> int:
    """Drop the tensors of a graph that another one holds too; written in place.

    The runtime maps borrowed bytes where they lie: floats that are not aligned there stay
    (`foundation.export` sees to it that a bundle's are).
    """
    import onnx
    from onnx.external_data_helper import set_external_data

    sizes = {onnx.TensorProto.INT8: 1, onnx.TensorProto.FLOAT: 4}
    model, held = onnx.load(str(graph)), holder.read_bytes()
    borrowed = 0
    for tensor in model.graph.initializer:
        content, size = tensor.raw_data, sizes.get(tensor.data_type)
        if size is None or len(content) < MIN_BYTES:
            continue
        offset = held.find(content)
        while offset % size and offset >= 0:
            offset = held.find(content, offset + 1)
        if offset >= 0:
            set_external_data(tensor, holder.name, offset, len(content))
            tensor.ClearField("raw_data")
            borrowed += len(content)
    graph.write_bytes(model.SerializeToString())
    return borrowed


def arithmetic_of(graph: Path) -> Arithmetic:
    """How a text graph computes, by what it consists of."""
    import onnx

    model = onnx.load(str(graph), load_external_data=False)
    kinds = {node.op_type for node in model.graph.node}
    if "MatMulInteger" in kinds:
        return "int8"
    return "int8 weights" if "DequantizeLinear" in kinds else "float32"
