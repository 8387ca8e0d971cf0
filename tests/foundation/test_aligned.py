"""Large tensors lie where floats may be mapped, and the graph stays what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

import onnx

from composir.foundation.export import align_tensors
from composir.train.graph_weights import share_initializers

SIZES = (700, 3, 601, 128 * 128, 5, 900)


def graph_of(path: Path, name: str) -> Path:
    """Sums of rows, with tensors of awkward sizes."""
    from onnx import helper, numpy_helper

    noise = np.random.default_rng(0)
    values = [noise.normal(size=size).astype(np.float32) for size in SIZES]
    tensors = [numpy_helper.from_array(one, "t" * n) for n, one in enumerate(values, 1)]
    nodes = [
        helper.make_node("ReduceSum", [one.name], [f"{one.name}s"], keepdims=0) for one in tensors
    ]
    nodes.append(helper.make_node("Sum", ["x", *(f"{one.name}s" for one in tensors)], ["y"]))
    sides = [helper.make_tensor_value_info(side, onnx.TensorProto.FLOAT, []) for side in "xy"]
    graph = helper.make_graph(nodes, name, sides[:1], sides[1:], tensors)
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def run(path: Path) -> float:
    from composir.model.sessions import open_session

    session = open_session(path, tensors=path.parent)
    return float(session.run(["y"], {"x": np.ones((), np.float32)})[0])


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd"])
def test_every_large_tensor_begins_at_a_multiple_of_four(tmp_path: Path, name: str) -> None:
    lender = graph_of(tmp_path / "own.onnx", name)
    before = run(lender)
    align_tensors(lender)
    content = lender.read_bytes()
    large = [t.raw_data for t in onnx.load(lender).graph.initializer if len(t.raw_data) >= 2048]
    assert [content.index(values) % 4 for values in large] == [0] * 4

    other = graph_of(tmp_path / "other.onnx", "other")
    assert share_initializers(other, lender) == sum(map(len, large))
    assert run(lender) == run(other) == before


def test_floats_that_are_not_aligned_are_held_again(tmp_path: Path) -> None:
    lender = graph_of(tmp_path / "own.onnx", "a")
    content = lender.read_bytes()
    tensors = onnx.load(lender).graph.initializer
    aligned = sum(
        len(t.raw_data)
        for t in tensors
        if len(t.raw_data) >= 2048 and content.index(t.raw_data) % 4 == 0
    )
    other = graph_of(tmp_path / "other.onnx", "other")
    assert share_initializers(other, lender) == aligned
    assert run(other) == run(lender)
