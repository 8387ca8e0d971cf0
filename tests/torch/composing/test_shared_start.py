"""Stage 2 starts from a packaged composer whose graph lies with another one."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from shared_graphs import package

from composir.compose.trained import ComposerFolder
from composir.train.composing.frozen_inputs import open_start
from tests.tiny_bundle import make_bundle, make_composer


def test_a_start_may_share_its_graph(tmp_path: Path) -> None:
    bundle = tmp_path / "tiny"
    model = make_bundle(bundle)
    for name in ("first", "second"):
        run = make_composer(tmp_path / name, model, "patch_tokens", name=name)
        package(ComposerFolder.load(run), bundle / "composers")
    start = open_start("second", make_bundle(bundle))

    assert start.manifest.shared["query.onnx"].in_composer == "first"
    expected = (tmp_path / "second" / "query.onnx").read_bytes()
    assert start.file("query.onnx").read_bytes() == expected
