"""Costs of graphs, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from composir.errors import TrainingError
from tests.tiny_bundle import write_graph

GRAPH = """
<ir_version: 9, opset_import: ["" : 18]>
graph (float[n,3,length,8] pixels) => (float[n,m,5] tokens)
<float[4,3,3,3] kernel = {KERNEL}, float[4] bias = {1.0, 2.0, 3.0, 4.0},
 int8[4,5] stored = {STORED}, float[5] scale = {1.0, 1.0, 1.0, 1.0, 1.0},
 int8[5] zero = {0, 0, 0, 0, 0}>
{
    features = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (pixels, kernel, bias)
    shape = Constant <value = int64[3] {0, 4, -1}> ()
    flat = Reshape (features, shape)
    rows = Transpose <perm = [0, 2, 1]> (flat)
    weights = DequantizeLinear <axis = 1> (stored, scale, zero)
    tokens = MatMul (rows, weights)
}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    text = GRAPH.replace("{KERNEL}", "{" + ", ".join(["0.5"] * 108) + "}")
    path = tmp_path / "graph.onnx"
    write_graph(text.replace("{STORED}", "{" + ", ".join(["1"] * 20) + "}"), path)
    return path


def test_parameters_operations_and_bytes(graph: Path) -> None:
    from composir.train.graph_costs import graph_costs

    costs = graph_costs(graph, {"length": 8})

    assert costs.query_parameters == 4 * 3 * 3 * 3 + 4 + 4 * 5
    # 4 x 4 positions of a strided convolution, then a product at each of them.
    assert costs.query_flops == 2 * (108 * 16 + 16 * 4 * 5)
    assert costs.query_bytes == graph.stat().st_size


def test_twice_as_large_costs_twice(graph: Path) -> None:
    from composir.train.graph_costs import graph_costs

    small, large = (graph_costs(graph, {"length": side}).query_flops for side in (8, 16))
    assert small is not None
    assert large == 2 * small


def test_an_open_axis_is_asked_for(graph: Path) -> None:
    from composir.train.graph_costs import graph_costs

    with pytest.raises(TrainingError, match="how large length of pixels is"):
        graph_costs(graph)
