"""The client's own resampling against what the server side does with Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.device.client.resize import preprocess
from composir.images.preprocess import PreprocessSpec
from composir.types import PixelArray

FITS = ["squash", "centre-crop", "pad", "targetpad"]
FILTERS = ["bilinear", "bicubic", "lanczos"]


def photo_like(width: int, height: int) -> PixelArray:
    """Smooth colours, edges, and a little grain."""
    random = np.random.default_rng(width * height)
    small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(smooth).astype(np.int16) + random.integers(-4, 5, (height, width, 3))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 240, 20)
    made: PixelArray = np.clip(pixels, 0, 255).astype(np.uint8)
    return made


def spec_of(fit: str, interpolation: str) -> PreprocessSpec:
    fields = {"size": 64, "fit": fit, "interpolation": interpolation}
    return PreprocessSpec.model_validate(fields)


def both(pixels: PixelArray, spec: PreprocessSpec) -> tuple[PixelArray, PixelArray]:
    ours = preprocess(pixels, spec.model_dump(mode="json"))
    return spec.apply(Image.fromarray(pixels)), ours


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(320, 200), (901, 333), (64, 64), (3, 2)])
def test_wide_pictures_are_equal_to_the_bit(
    fit: str, interpolation: str, size: tuple[int, int]
) -> None:
    spec = spec_of(fit, interpolation)
    theirs, ours = both(photo_like(*size), spec)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(333, 901), (20, 50), (1, 90)])
def test_tall_pictures_differ_by_rounding_at_most(
    fit: str, interpolation: str, size: tuple[int, int]
) -> None:
    """Some versions of Pillow shrink the columns of tall pictures first."""
    spec = spec_of(fit, interpolation)
    theirs, ours = both(photo_like(*size), spec)
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    assert difference.mean() < 0.3
    assert (difference > 1).mean() < 0.02


def test_the_colour_of_the_padding_is_the_specified_one() -> None:
    spec = PreprocessSpec(size=32, fit="pad", pad_colour=(10, 20, 30))
    theirs, ours = both(photo_like(90, 30), spec)
    assert ours[0, 0].tolist() == [10, 20, 30]
    np.testing.assert_array_equal(ours, theirs)


EXACT = [
    {"exact": "transformers", "fit": "centre-crop"},
    {"exact": "open_clip", "fit": "centre-crop"},
    {"exact": "open_clip", "fit": "squash"},
    {"exact": "open_clip", "fit": "pad", "pad_colour": (9, 8, 7)},
    {"exact": "transformers", "fit": "centre-crop", "short_side": 80},
    {"exact": "transformers", "fit": "centre-crop", "short_side": 41},
]


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("fields", EXACT, ids=str)
def test_exact_specifications_are_followed(interpolation: str, fields: dict[str, Any]) -> None:
    spec = PreprocessSpec.model_validate({"size": 64, "interpolation": interpolation, **fields})
    for size in [(320, 200), (901, 333), (65, 64), (64, 64), (3, 2), (90, 1), (97, 70)]:
        theirs, ours = both(photo_like(*size), spec)
        np.testing.assert_array_equal(ours, theirs, err_msg=str(size))
    for size in [(333, 901), (1, 90), (70, 97)]:  # tall: see above
        theirs, ours = both(photo_like(*size), spec)
        assert np.abs(ours.astype(int) - theirs.astype(int)).mean() < 0.3


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
        preprocess(photo_like(20, 10), card)


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
