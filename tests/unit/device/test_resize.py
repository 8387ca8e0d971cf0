"""The client's preprocessing: as the server's, and golden pixels for other languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.device.client.query_side import preprocess
from composir.images.preprocess import PreprocessSpec
from composir.types import PixelArray

GOLDEN = Path(__file__).resolve().parents[3] / "web" / "tests" / "golden.json"
SIZES = [(320, 200), (901, 333), (64, 64), (3, 2), (333, 901), (20, 50), (1, 90), (90, 1)]
FITS: list[dict[str, Any]] = [
    *({"fit": fit} for fit in ("squash", "centre-crop", "pad", "targetpad")),
    {"fit": "pad", "pad_colour": (10, 20, 30)},
    {"exact": "transformers", "fit": "centre-crop"},
    {"exact": "open_clip", "fit": "centre-crop"},
    {"exact": "open_clip", "fit": "squash"},
    {"exact": "open_clip", "fit": "pad", "pad_colour": (9, 8, 7)},
    {"exact": "transformers", "fit": "centre-crop", "short_side": 80},
    {"exact": "transformers", "fit": "centre-crop", "short_side": 41},
]


def noise(width: int, height: int) -> PixelArray:
    random = np.random.default_rng(width * height)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("fields", FITS, ids=str)
def test_a_card_is_followed_as_the_server_follows_it(
    interpolation: str, fields: dict[str, Any]
) -> None:
    spec = PreprocessSpec.model_validate({"size": 64, "interpolation": interpolation, **fields})
    for size in SIZES:
        pixels = noise(*size)
        ours = preprocess(pixels, json.loads(spec.model_dump_json()))
        np.testing.assert_array_equal(ours, spec.apply(Image.fromarray(pixels)), err_msg=str(size))


def picture(width: int, height: int) -> PixelArray:
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 7 + y * 13, x * x + y * 3, x * y + y * y]
    return np.stack([plane % 256 for plane in planes], -1).astype(np.uint8)


@pytest.mark.parametrize(
    "case", json.loads(GOLDEN.read_text())["pictures"], ids=lambda c: c["spec"]
)
def test_pixels_are_the_golden_ones(case: dict[str, Any]) -> None:
    """Versions of Pillow may differ in the last bit, and in what of tall ones is shrunk first."""
    made = preprocess(picture(case["width"], case["height"]), case["spec"])
    difference = np.abs(made.reshape(-1).astype(int) - np.array(case["pixels"]))
    if case["height"] > case["width"]:
        assert difference.mean() < 0.5
    else:
        assert difference.max() <= 1


@pytest.mark.parametrize("turn", [False, True])
def test_endless_pictures_need_no_more_than_what_is_shown(turn: bool) -> None:
    """A table of weights for all of it would take 10 gigabytes."""
    long = np.full((1, 20_000_000, 3), (200, 100, 50), dtype=np.uint8)
    spec = PreprocessSpec(size=64, exact="transformers")
    shown = preprocess(long.swapaxes(0, 1) if turn else long, spec.model_dump(mode="json"))
    assert (shown == (200, 100, 50)).all()


def test_a_rule_of_a_later_version_is_refused() -> None:
    card = PreprocessSpec(size=8).model_dump(mode="json") | {"exact": "keras"}
    with pytest.raises(ValueError, match="the rule 'keras' is unknown"):
        preprocess(noise(20, 10), card)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 0, 3), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
    ],
)
def test_what_is_no_picture_is_refused(pixels: PixelArray) -> None:
    with pytest.raises(ValueError, match="is no RGB picture"):
        preprocess(pixels, PreprocessSpec(size=8).model_dump())
