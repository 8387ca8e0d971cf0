"""Query graphs as they are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from composir.train.composer_export import export_query_graph  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.mark.parametrize("quantise", [True, False])
def test_a_shipped_graph_carries_no_names_of_nodes_and_gives_the_same(
    tmp_path: Path, quantise: bool
) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
    rows, path = torch.randn(4, 64), tmp_path / "query.onnx"
    gap = export_query_graph(module, {"vector": rows}, ["tokens"], path, quantise=quantise)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = module(rows).numpy()

    named = [node.name for node in onnx.load(str(path)).graph.node if node.name]
    assert bool(named) != quantise
    assert gap < 1e-5
    np.testing.assert_allclose(
        session.run(["tokens"], {"vector": rows.numpy()})[0], expected, atol=0.02
    )
