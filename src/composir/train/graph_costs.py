"""What an ONNX graph costs: parameters, operations, bytes; for the manifests' `efficiency`.

Counted are the multiply-adds of convolutions and matrix products, times two. Norms, activations
and softmax are left out, as is usual: in the graphs here they are a few percent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from composir.compose.trained import QueryCosts
from composir.errors import TrainingError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

Shapes = dict[str, tuple[int, ...]]


def graph_costs(path: Path, sizes: Mapping[str, int] | None = None) -> QueryCosts:
    """Count what one run of a graph costs.

    Returns:
        Parameters, operations and bytes of the graph.
    """
    import onnx

    model = onnx.load(str(path))
    counted = [node for node in model.graph.node if node.op_type in _COUNTERS]
    shapes = _shapes(model, counted, {"n": 1, **(sizes or {})}, path)
    return QueryCosts(
        query_parameters=_parameters(model.graph),
        query_flops=sum(2 * _COUNTERS[node.op_type](node, shapes) for node in counted),
        query_bytes=path.stat().st_size,
    )


def _shapes(
    model: ModelProto, nodes: Sequence[NodeProto], sizes: Mapping[str, int], path: Path
) -> Shapes:
    """Shapes of everything that some nodes take and give, from one run on zeros.

    Shape inference gives up at padding whose amount the exporter computes inside the graph.
    """
    import onnxruntime

    shapes: Shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    feeds = _zeros(model.graph, sizes, path)
    shapes.update({name: value.shape for name, value in feeds.items()})
    names = sorted({name for node in nodes for name in (*node.input, *node.output)} - {*shapes, ""})
    watched = type(model)()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(type(model.graph.output[0])(name=name) for name in names)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=providers)
    found = zip(names, session.run(names, feeds), strict=True) if names else ()
    return shapes | {name: value.shape for name, value in found}


def _zeros(graph: GraphProto, sizes: Mapping[str, int], path: Path) -> dict[str, NDArray[Any]]:
    from onnx import helper

    feeds = {}
    for value in graph.input:
        shape = []
        for axis in value.type.tensor_type.shape.dim:
            size = axis.dim_value or sizes.get(axis.dim_param)
            if size is None:
                raise TrainingError(
                    f"{path}: say how large {axis.dim_param or 'an axis'} of {value.name} is"
                )
            shape.append(size)
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = np.zeros(shape, dtype=kind)
    return feeds


def _parameters(graph: GraphProto) -> int:
    """Numbers in floating-point and int8 initialisers; scales and zeros of int8 do not count."""
    import onnx

    helpers = {
        name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.input[1:]
    }
    counted = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    weights = (item for item in graph.initializer if item.data_type in counted)
    return sum(prod(item.dims) for item in weights if item.name not in helpers and item.dims)


def _convolution(node: NodeProto, shapes: Shapes) -> int:
    """(out, in / groups, h, w) weights, once for every output position."""
    weights, output = shapes[node.input[1]], shapes[node.output[0]]
    return prod(weights) * prod(output[2:]) * output[0]


def _product(node: NodeProto, shapes: Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _linear(node: NodeProto, shapes: Shapes) -> int:
    transposed = any(item.name == "transA" and item.i for item in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    equation = next(item.s.decode() for item in node.attribute if item.name == "equation")
    terms: Sequence[str] = equation.replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=True):
        sizes.update(zip(term, shapes[name], strict=True))
    return prod(sizes.values())


_COUNTERS: dict[str, Callable[[Any, Shapes], int]] = {
    "Conv": _convolution,
    "MatMul": _product,
    "Gemm": _linear,
    "Einsum": _einsum,
}
