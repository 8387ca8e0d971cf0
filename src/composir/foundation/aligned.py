"""float32 weights where they may be mapped, so that other graphs need not hold them again.

Protobuf puts a tensor's bytes wherever what stands before them ends. Spaces in a field that nobody
reads move them to a multiple of four, which is where the runtime wants to find a float.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from composir.errors import ModelError

MIN_BYTES = 2048
"""Smaller tensors are not worth being borrowed."""
_FLOAT_BYTES = 4
_ROUNDS = 8


def align_tensors(graph: Path) -> None:
    """Move the large tensors of a graph to multiples of four bytes; written in place."""
    import onnx

    model = onnx.load(str(graph), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.doc_string = " " * _FLOAT_BYTES
    for _ in range(_ROUNDS):  # a longer field may lengthen the number that says how long it is
        content = model.SerializeToString()
        if not _moved(model, content):
            graph.write_bytes(content)
            return
    raise ModelError(f"the tensors of {graph.name} cannot be aligned")


def _moved(model: Any, content: bytes) -> bool:
    """Lengthen what stands before each large tensor; whether one had to be moved."""
    before, place, moved = model, 0, 0
    for tensor in model.graph.initializer:
        values = tensor.raw_data
        if len(values) >= MIN_BYTES:
            place = content.index(values, place)
            missing = -(place + moved) % _FLOAT_BYTES
            before.doc_string += " " * missing
            moved += missing
            place += len(values)
        before = tensor
    return moved > 0
