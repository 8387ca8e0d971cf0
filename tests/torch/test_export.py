"""Export: graphs equal torch, int8 weights stay close, a bundle round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from bundle import export_image  # noqa: E402

from composir.model import load_model  # noqa: E402
from composir.model.sessions import open_session  # noqa: E402
from composir.train.composer_export import export_text  # noqa: E402
from composir.train.graph_weights import quantise_rows, quantise_weights  # noqa: E402
from tests.torch.towers import (  # noqa: E402
    DIMENSION,
    SIZE,
    TEXT,
    image_tower,
    make_bundle,
    text_tower,
)

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def test_graphs_equal_torch(tmp_path: Path) -> None:
    image = export_image(image_tower(), SIZE, tmp_path / "image.onnx", quantise=False)
    text = export_text(text_tower(), TEXT.width, tmp_path / "text.onnx", quantise=False)

    assert 0 <= image < 1e-4
    assert 0 <= text < 1e-4


def test_int8_weights_shrink_the_file_and_keep_the_direction(tmp_path: Path) -> None:
    path = tmp_path / "image.onnx"
    export_image(image_tower(), SIZE, path, quantise=False)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    size, before = path.stat().st_size, open_session(path).run(["vector"], {"pixels": pixels})[0]
    quantise_weights(path)
    after = open_session(path).run(["vector"], {"pixels": pixels})[0]

    assert path.stat().st_size < 0.35 * size
    assert (before * after).sum(axis=1).min() > 0.999


def test_rows_are_quantised_to_half_a_step() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    values, scales = quantise_rows(matrix)

    assert values.dtype == np.int8
    assert np.abs(values * scales[:, None] - matrix).max() <= scales.max() / 2 + 1e-6


def test_a_bundle_makes_the_round_trip(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny")
    model = load_model(tmp_path / "tiny", threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    together = model.encode_pixels(pixels)
    alone = np.concatenate([model.encode_pixels(one[None]) for one in pixels])
    texts = model.encode_texts(["a photo of red dog", "lamp", ""])

    assert together.shape == (4, DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-4)
    assert np.abs(together - alone).max() < 1e-3


def test_a_words_own_embedding_spliced_in_gives_that_words_vector(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny")
    texts = load_model(tmp_path / "tiny", threads=1).texts
    own = texts.embed(texts.tokenise(["lamp"])[0][1:-1])

    spliced, _ = texts.encode_spliced(["a photo of {}"], [own])

    assert np.abs(spliced - texts.encode(["a photo of lamp"])).max() < 1e-4
