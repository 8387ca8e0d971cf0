"""Graphs that name the large tensors of another graph instead of holding them again.

An adapted text encoder is the model's own with few weights more: of the 13 MB that one would
have, 11 are the frozen tower's matrices, byte for byte. They are left where they are, in the
bundle's text graph, as ONNX external data: a file name, an offset and a length. Reading such a
graph needs the runtime alone (`model.sessions.open_session`), and a composer is bound to its
model's text graph by checksum anyway.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from composir.foundation.aligned import MIN_BYTES

Arithmetic: TypeAlias = Literal["float32", "int8 weights", "int8"]
"""How a graph keeps its matrices and multiplies by them: `int8` does both with integers."""


def share_initializers(graph: Path, holder: Path) -> int:
    """Drop the tensors of a graph that another one holds too; written in place.

    The runtime maps borrowed bytes where they lie: floats that are not aligned there stay
    (`foundation.aligned` sees to it that a bundle's are).
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
