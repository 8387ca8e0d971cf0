from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from composir.errors import ImageReadError
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from tests.pictures import BLUE, GREEN, RED, YELLOW, corners, encoded, quadrants

Fit: TypeAlias = Literal["squash", "centre-crop", "pad", "targetpad"]
FITS: tuple[Fit, ...] = ("squash", "centre-crop", "pad", "targetpad")
STRIPES = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def stripes(width: int, height: int) -> Image.Image:
    """Red, green and blue third, side by side along the long side."""
    picture = Image.new("RGB", (width, height))
    for third, colour in enumerate(STRIPES):
        box = (width * third // 3, 0, width * (third + 1) // 3, height)
        picture.paste(colour, box)
    return picture


def smooth(width: int, height: int) -> Image.Image:
    """Something like a photograph: soft shapes in all colours."""
    seed = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(seed).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    "size", [(1, 1), (2, 1), (1, 5000), (5000, 1), (3, 2000), (31, 33), (64, 64), (700, 500)]
)
def test_every_shape_becomes_the_input(fit: Fit, size: tuple[int, int]) -> None:
    pixels = PreprocessSpec(size=32, fit=fit).apply(Image.new("RGB", size, RED))
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    middle = {tuple(map(int, pixel)) for pixel in pixels[15:17, 15:17].reshape(-1, 3)}
    assert RED in middle


class TestGeometry:
    def test_squash_shows_everything(self) -> None:
        pixels = PreprocessSpec(size=32, fit="squash").apply(quadrants(200, 50))
        assert corners(Image.fromarray(pixels)) == [RED, GREEN, BLUE, YELLOW]

    @pytest.mark.parametrize("turn", [False, True])
    def test_centre_crop_shows_the_middle(self, turn: bool) -> None:
        picture = stripes(300, 100)
        picture = picture.transpose(Image.Transpose.ROTATE_90) if turn else picture
        pixels = PreprocessSpec(size=20, fit="centre-crop").apply(picture)
        inner = pixels[1:-1, 1:-1].reshape(-1, 3)  # the border blends with what lies beyond it
        assert np.unique(inner, axis=0).tolist() == [[0, 255, 0]]

    @pytest.mark.parametrize("turn", [False, True])
    def test_pad_shows_everything_in_proportion(self, turn: bool) -> None:
        picture = stripes(300, 100)
        picture = picture.transpose(Image.Transpose.ROTATE_270) if turn else picture
        pixels = PreprocessSpec(size=30, fit="pad").apply(picture)
        pixels = pixels.transpose(1, 0, 2) if turn else pixels
        assert (pixels[:10] == 0).all()
        assert (pixels[20:] == 0).all()
        assert [tuple(pixels[15, x]) for x in (4, 15, 25)] == list(STRIPES)

    def test_targetpad_pads_only_what_exceeds_the_ratio(self) -> None:
        spec = PreprocessSpec(size=100, fit="targetpad", pad_ratio=1.25)
        wide = spec.apply(Image.new("RGB", (500, 100), "white"))
        # 500 x 100 is padded to 500 x 400, of which the middle 400 x 400 is shown.
        assert np.flatnonzero(wide[:, 50, 0]).tolist() == list(range(37, 62))
        almost_square = spec.apply(Image.new("RGB", (124, 100), "white"))
        assert (almost_square == 255).all()

    def test_targetpad_crops_what_lies_beyond(self) -> None:
        spec = PreprocessSpec(size=100, fit="targetpad", pad_ratio=1.5)
        pixels = spec.apply(stripes(300, 100))
        # The middle 200 of 300 columns: half of red, all of green, half of blue.
        assert [tuple(pixels[50, x]) for x in (10, 50, 90)] == list(STRIPES)
        assert np.abs(pixels[50, :25, 0].astype(int) - 255).mean() < 5

    def test_thin_pictures_keep_a_line_when_padded(self) -> None:
        pixels = PreprocessSpec(size=32, fit="pad").apply(Image.new("RGB", (9000, 1), RED))
        assert [tuple(pixel) for pixel in pixels[:, 5] if pixel.any()] == [RED]


def test_the_padding_has_the_colour_of_the_specification() -> None:
    spec = PreprocessSpec(size=30, fit="pad", pad_colour=(255, 254, 253))
    assert tuple(spec.apply(stripes(300, 100))[0, 0]) == (255, 254, 253)
    assert PreprocessSpec(size=30, fit="pad").pad_colour == (0, 0, 0)


@pytest.mark.parametrize("fit", FITS)
def test_extreme_shapes_need_no_canvas_of_their_length(fit: Fit) -> None:
    long = Image.new("RGB", (200_000, 1), RED)  # a square canvas would take 160 GB
    assert PreprocessSpec(size=64, fit=fit).apply(long).shape == (64, 64, 3)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (2400, 900)])
def test_drafted_and_full_decoding_give_nearly_the_same_pixels(
    fit: Fit, size: tuple[int, int]
) -> None:
    content = encoded(smooth(*size), "JPEG", quality=92)
    spec = PreprocessSpec(size=96, fit=fit)
    drafted = read_image(content, min_side=2 * spec.size)
    assert drafted.rgb.width < size[0]
    full = spec.apply(read_image(content).rgb).astype(int)
    difference = np.abs(spec.apply(drafted.rgb).astype(int) - full)
    assert difference.mean() < 0.7
    assert np.percentile(difference, 99) <= 3


@pytest.mark.parametrize("picture", [Image.new("L", (4, 4)), Image.new("RGB", (0, 4))])
def test_what_is_no_rgb_picture_is_refused(picture: Image.Image) -> None:
    with pytest.raises(ImageReadError, match="read_image first"):
        PreprocessSpec(size=8).apply(picture)


@pytest.mark.parametrize(
    "fields", [{"size": 0}, {"size": 8, "pad_ratio": 0.5}, {"size": 8, "pad_colour": (0, 0, 256)},
               {"size": 8, "fit": "stretch"}, {"size": 8, "colour": "grey"}],
)  # fmt: skip
def test_impossible_specifications_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PreprocessSpec.model_validate(fields)


def test_a_specification_survives_json() -> None:
    spec = PreprocessSpec(size=224, fit="targetpad", pad_colour=(1, 2, 3), mean=(0.1, 0.2, 0.3))
    assert PreprocessSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(1200, 900), (640, 1000)])
def test_a_jpeg_decoded_at_half_its_size_gives_nearly_the_same_input(
    fit: Fit, size: tuple[int, int]
) -> None:
    spec = PreprocessSpec(size=160, fit=fit)
    data = encoded(smooth(*size), "JPEG", quality=90)
    whole, reduced = read_image(data).rgb, read_image(data, min_side=spec.min_side).rgb
    assert spec.min_side is not None
    assert spec.min_side <= min(reduced.size) < min(whole.size)
    difference = np.abs(spec.apply(reduced).astype(int) - spec.apply(whole))
    assert difference.max() <= 8
    assert difference.mean() < 1
