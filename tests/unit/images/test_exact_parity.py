"""Exact preprocessing against the families' own processors, whatever the picture's shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from composir.foundation.preprocessing import spec_from_processor
from composir.images.preprocess import PreprocessSpec
from tests.processors import BLIP, CLIP, SIGLIP, SIGLIP2

transformers = pytest.importorskip("transformers", reason="needs the foundation extra")

SMALL_CLIP = CLIP | {"size": 56, "crop_size": 56}
CONFIGS: dict[str, dict[str, Any]] = {
    "clip": CLIP,
    "clip, no larger than it must be": CLIP | {"size": {"shortest_edge": 40}, "crop_size": 57},
    "clip, scaled to more than the crop": CLIP | {"size": {"shortest_edge": 64}, "crop_size": 57},
    "clip, bilinear": SMALL_CLIP | {"resample": 2},
    "clip, lanczos": SMALL_CLIP | {"resample": 1},
    "clip, not normalised": SMALL_CLIP | {"do_normalize": False},
    "siglip": SIGLIP,
    "siglip2": SIGLIP2,
    "blip": BLIP | {"size": {"height": 96, "width": 96}},
    "blip, as it was once written": BLIP | {"size": 96},
}
SIZES = [(1, 1), (1, 90), (90, 1), (2, 301), (301, 3), (300, 497), (497, 300), (223, 225), (5, 4)]
SIZES += [(224, 224), (640, 427), (427, 640), (801, 1203), (1500, 333), (30, 1500)]
Processor = Callable[[Image.Image], "np.ndarray[Any, np.dtype[np.float64]]"]


def their_processor(config: dict[str, Any], folder: Path) -> Processor:
    """From a checkpoint's own file to levels of 255, undoing nothing but the normalisation."""
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    mean, std = (theirs.image_mean, theirs.image_std) if theirs.do_normalize else (0.0, 1.0)

    def levels(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = theirs(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        found: np.ndarray[Any, np.dtype[np.float64]] = (
            values.astype(np.float64) * np.asarray(std) + np.asarray(mean)
        ) * 255
        return found

    return levels


def noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width + 10_000 * height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def largest_difference(spec: PreprocessSpec, theirs: Processor, picture: Image.Image) -> float:
    ours, wanted = spec.apply(picture), theirs(picture)
    assert ours.shape == wanted.shape
    return float(np.abs(ours - np.rint(wanted)).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_equal_those_of_the_processor(name: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    spec, theirs = spec_from_processor(config), their_processor(config, tmp_path)
    assert spec.exact == "transformers"
    for size in SIZES:
        assert largest_difference(spec, theirs, noise(*size)) <= 1, size


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Processor:
    return their_processor(SMALL_CLIP, tmp_path_factory.mktemp("clip"))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 700), st.integers(1, 700))
@example(1, 700)
@example(700, 1)
@example(57, 56)
@example(56, 57)
def test_pictures_of_any_size(small_clip: Processor, width: int, height: int) -> None:
    spec = spec_from_processor(SMALL_CLIP)
    assert largest_difference(spec, small_clip, noise(width, height)) <= 1


def test_large_photographs(tmp_path: Path) -> None:
    """Smooth ones: the order of the two directions, which Pillow chooses, does not show."""
    spec, theirs = spec_from_processor(CLIP), their_processor(CLIP, tmp_path)
    for size in [(4032, 3024), (1201, 4001)]:
        picture = noise(12, 9).resize(size, Image.Resampling.BICUBIC)
        assert largest_difference(spec, theirs, picture) <= 1


@pytest.mark.parametrize("name", CONFIGS)
def test_what_transformers_writes_again_says_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIGS[name]))
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert spec_from_processor(theirs.to_dict()) == spec_from_processor(CONFIGS[name])
    theirs.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "preprocessor_config.json").read_text())
    assert spec_from_processor(written) == spec_from_processor(CONFIGS[name])


def test_mean_and_std_are_those_of_the_processor(tmp_path: Path) -> None:
    for config in (CLIP, SIGLIP, SIGLIP2, BLIP):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
        theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
        spec = spec_from_processor(config)
        assert spec.mean == tuple(theirs.image_mean)
        assert spec.std == tuple(theirs.image_std)
