"""The packaged image encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.errors import ModelError
from composir.model import Model, image_encoder, load_model
from composir.model.sessions import open_session, run_graph
from composir.types import PixelArray


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("mini", threads=1)


@pytest.fixture(scope="module")
def pixels(model: Model) -> PixelArray:
    size = model.image_spec.size
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (5, size, size, 3), dtype=np.uint8)


def test_one_picture_or_many_give_the_same_unit_vectors(model: Model, pixels: PixelArray) -> None:
    together = model.encode_pixels(pixels)
    other = load_model("mini", threads=1)  # which remembers nothing of them
    alone = np.concatenate([other.encode_pixels(one[None]) for one in pixels])

    assert together.dtype == np.float32
    assert together.shape == (5, model.dimension)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-4)
    assert np.abs(together - alone).max() < 1e-3


def test_a_few_pictures_are_run_once_whoever_asks_in_between(
    pixels: PixelArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, runs = load_model("mini", threads=1), []

    def counted(session: Any, path: Any, outputs: Any, feeds: Any) -> list[Any]:
        runs.append(len(feeds["pixels"]))
        return run_graph(session, path, outputs, feeds)

    monkeypatch.setattr(image_encoder, "run_graph", counted)
    first = model.encode_pixels(pixels[:2])
    model.encode_pixels(pixels[2:4])
    again, patches = model.images.encode_patches(pixels[[1, 0, 2]])
    np.testing.assert_array_equal(again[:2], first[::-1])
    assert len(patches) == 3
    assert sum(runs) == 4


def test_pictures_go_through_the_bundles_preprocessing(model: Model) -> None:
    picture = Image.new("RGB", (90, 40), "red")
    expected = model.encode_pixels(model.image_spec.apply(picture)[None])

    np.testing.assert_array_equal(model.encode_images([picture]), expected)


def test_nothing_gives_nothing(model: Model) -> None:
    assert model.encode_images([]).shape == (0, model.dimension)


@pytest.mark.parametrize("change", ["size", "channels", "type", "rank"])
def test_other_pixels_are_refused(model: Model, pixels: PixelArray, change: str) -> None:
    wrong = {
        "size": pixels[:, :-1],
        "channels": pixels[..., :1],
        "type": pixels.astype(np.float32),
        "rank": pixels[0],
    }[change]
    with pytest.raises(ModelError, match=r"this model takes \(n, "):
        model.encode_pixels(wrong)


@pytest.mark.parametrize(("small", "expected"), [(1 << 30, [3, 1]), (0, [1])])
def test_one_picture_alone_has_all_threads_where_its_graph_may_be_held_twice(
    model: Model,
    pixels: PixelArray,
    small: int,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[int] = []

    def opening(path: Path, threads: int, **others: Any) -> Any:
        opened.append(threads)
        return open_session(path, 1, **others)

    monkeypatch.setattr(image_encoder, "open_session", opening)
    monkeypatch.setattr(image_encoder, "_SMALL", small)
    other = load_model("mini", threads=3)
    alone = [other.encode_pixels(one[None])[0] for one in pixels[:2]]
    other.encode_pixels(pixels[2:])

    assert opened == expected
    np.testing.assert_allclose(alone, model.encode_pixels(pixels[:2]), atol=1e-3)
