"""Opening a graph: what it may read besides its own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from composir.errors import ModelError  # noqa: E402
from composir.model.sessions import open_session  # noqa: E402

VALUES = np.arange(4, dtype=np.float32)


def graph_with_tensor_at(folder: Path, location: str) -> Path:
    """A graph `y = x + w` whose `w` lies in another file."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="16")
    ends = [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in ("x", "y")]
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "outside", ends[:1], ends[1:], [tensor])
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    path = folder / "graph.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    VALUES.tofile(tmp_path / "outside.bin")
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


def test_a_tensor_beside_the_graph_is_read(folder: Path) -> None:
    VALUES.tofile(folder / "inside.bin")
    session = open_session(graph_with_tensor_at(folder, "inside.bin"))
    (total,) = session.run(["y"], {"x": VALUES})
    np.testing.assert_array_equal(total, 2 * VALUES)


@pytest.mark.parametrize("borrowing", [False, True])
@pytest.mark.parametrize("place", ["above", "absolute", "link"])
def test_a_graph_from_elsewhere_reads_no_file_elsewhere(
    folder: Path, place: str, borrowing: bool
) -> None:
    outside = folder.parent / "outside.bin"
    if place == "link":
        (folder / "link.bin").symlink_to(outside)
    location = {"above": "../outside.bin", "absolute": str(outside), "link": "link.bin"}[place]
    graph = graph_with_tensor_at(folder, location)
    with pytest.raises(ModelError, match="cannot be run by onnxruntime"):
        open_session(graph, tensors=folder if borrowing else None)
