from __future__ import annotations

from pathlib import Path

from PIL import Image

from composir.bench.pictures import cut, openers
from composir.bench.task import Crop, Picture


def test_a_crop_is_dilated_within_the_picture_and_squared() -> None:
    picture = Image.new("RGB", (100, 60), (0, 200, 0))
    part = cut(picture, Crop((40, 20, 20, 10), dilation=0.7, square=True))
    assert part.size == (34, 34)
    assert part.getpixel((17, 17)) == (0, 200, 0)
    assert part.getpixel((17, 0)) == (0, 0, 0)


def test_a_crop_at_the_border_does_not_leave_the_picture() -> None:
    picture = Image.new("RGB", (30, 30), (9, 9, 9))
    part = cut(picture, Crop((20, 20, 10, 10), dilation=0.7))
    assert part.size == (17, 17)
    assert part.getcolors() == [(17 * 17, (9, 9, 9))]


def test_openers_open_each_its_own_picture(tmp_path: Path) -> None:
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{name}.png")
    opened = openers({name: Picture(tmp_path / f"{name}.png") for name in "ab"})
    assert opened["a"]().getpixel((0, 0)) == (255, 0, 0)
    assert opened["b"]().getpixel((0, 0)) == (0, 0, 255)
