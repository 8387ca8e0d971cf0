from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from composir.bench.encode import openers
from composir.encode.image_files import CropBox, ImageFile, cut
from composir.errors import ImageReadError


def test_a_crop_is_dilated_within_the_picture_and_squared() -> None:
    picture = Image.new("RGB", (100, 60), (0, 200, 0))
    part = cut(picture, CropBox((40, 20, 20, 10), dilation=0.7, square=True))
    assert part.size == (34, 34)
    assert part.getpixel((17, 17)) == (0, 200, 0)
    assert part.getpixel((17, 0)) == (0, 0, 0)


def test_a_crop_at_the_border_does_not_leave_the_picture() -> None:
    picture = Image.new("RGB", (30, 30), (9, 9, 9))
    part = cut(picture, CropBox((20, 20, 10, 10), dilation=0.7))
    assert part.size == (17, 17)
    assert part.getcolors() == [(17 * 17, (9, 9, 9))]


@pytest.mark.parametrize("box", [(30, 5, 4, 4), (5, 40, 4, 4), (5, 5, 0, 4), (9, 9, -4, -4)])
@pytest.mark.parametrize("square", [False, True])
def test_a_crop_without_a_pixel_of_the_picture_is_refused(
    box: tuple[float, float, float, float], square: bool
) -> None:
    picture = Image.new("RGB", (20, 30))
    with pytest.raises(ImageReadError, match=r"no pixel of its 20 x 30 lies within the box"):
        cut(picture, CropBox(box, square=square))


def test_openers_open_each_its_own_picture(tmp_path: Path) -> None:
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{name}.png")
    opened = openers({name: ImageFile(tmp_path / f"{name}.png") for name in "ab"})
    assert opened["a"]().getpixel((0, 0)) == (255, 0, 0)
    assert opened["b"]().getpixel((0, 0)) == (0, 0, 255)
