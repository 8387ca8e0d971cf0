"""Cached features: resumable, and the same on every run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")

import features  # noqa: E402
from features import cached_view  # noqa: E402

from composir.encode.encoders import Encoder  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.images import read_image  # noqa: E402
from composir.train.isa.efficientnet_lite import EfficientNetLite  # noqa: E402
from tests.torch.towers import SPEC, seeing_trunk  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "set" / "images"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(7):
        pixels = generator.integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def trunk() -> EfficientNetLite:
    return seeing_trunk()


def counted(reads: list[Path]) -> Callable[..., Any]:
    def read(file: Path, **options: Any) -> Any:
        reads.append(file)
        return read_image(file, **options)

    return read


def test_an_interrupted_extraction_goes_on_where_it_stopped(
    tmp_path: Path, files: list[Path], trunk: EfficientNetLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(features, "Encoder", partial(Encoder, batch=2))
    whole = cached_view(tmp_path / "whole", files, trunk, SPEC, 0)
    with pytest.raises(KeyboardInterrupt):
        cached_view(tmp_path / "parts", files, trunk, SPEC, 0, stop)
    reads: list[Path] = []
    monkeypatch.setattr("composir.encode.image_files.read_image", counted(reads))

    resumed = cached_view(tmp_path / "parts", files, trunk, SPEC, 0)

    assert sorted(reads) == files[4:]
    np.testing.assert_array_equal(np.asarray(resumed), np.asarray(whole))
    reads.clear()
    cached_view(tmp_path / "parts", files, trunk, SPEC, 0)
    assert reads == []


def test_features_are_what_the_lower_trunk_gives(
    tmp_path: Path, files: list[Path], trunk: EfficientNetLite
) -> None:
    view = cached_view(tmp_path / "cache", files, trunk, SPEC, 0)
    pixels = SPEC.apply(Image.open(files[0]).convert("RGB")).astype(np.float32)
    normalised = torch.from_numpy((pixels - 127.0) / 128.0).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = trunk.lower(normalised)[0].numpy()

    assert view.dtype == np.float16
    np.testing.assert_allclose(view[0], expected, atol=2e-3, rtol=2e-3)


def test_augmented_views_differ_from_each_other_but_not_between_runs(
    tmp_path: Path, files: list[Path], trunk: EfficientNetLite
) -> None:
    one = cached_view(tmp_path / "a", files, trunk, SPEC, 1)

    np.testing.assert_array_equal(one, cached_view(tmp_path / "b", files, trunk, SPEC, 1))
    assert not np.array_equal(one, cached_view(tmp_path / "a", files, trunk, SPEC, 2))
    assert not np.array_equal(one, cached_view(tmp_path / "a", files, trunk, SPEC, 0))


def test_a_picture_that_cannot_be_read_is_named(
    tmp_path: Path, files: list[Path], trunk: EfficientNetLite
) -> None:
    files[2].write_bytes(b"no picture")
    with pytest.raises(TrainingError, match=r"2\.png"):
        cached_view(tmp_path / "cache", files, trunk, SPEC, 0)


def test_pooled_features_are_those_of_the_whole_trunk(
    tmp_path: Path, files: list[Path], trunk: EfficientNetLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "POOL", 2)
    lower = cached_view(tmp_path / "cache", files, trunk, SPEC, 0)
    pooled = cached_view(tmp_path / "cache", files, trunk, SPEC, 0, pooled=True)
    alone = cached_view(tmp_path / "other", files, trunk, SPEC, 0, pooled=True)
    with torch.inference_mode():
        whole = trunk.upper(torch.from_numpy(lower[:2]).float())
        expected = torch.nn.functional.avg_pool2d(whole, features.POOL).numpy()
    np.testing.assert_allclose(pooled[:2], expected, atol=2e-3, rtol=2e-3)
    np.testing.assert_array_equal(np.asarray(alone), np.asarray(pooled))
