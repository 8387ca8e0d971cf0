from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from composir.gallery.reader import make_thumbnail
from composir.images import read_image
from tests import pictures


def opened(thumbnail: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(thumbnail))
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    picture.load()
    return picture


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 500), (256, 128)),
        ((500, 1000), (128, 256)),
        ((256, 256), (256, 256)),
        ((100, 40), (100, 40)),
        ((1, 1), (1, 1)),
        ((1, 5000), (1, 256)),
        ((5000, 2), (256, 1)),
    ],
)
def test_the_long_side_is_256_at_most(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert opened(make_thumbnail(Image.new("RGB", size))).size == expected


def test_another_side() -> None:
    assert opened(make_thumbnail(Image.new("RGB", (300, 200)), side=30)).size == (30, 20)


def test_shows_the_picture_and_leaves_it_alone() -> None:
    scene = pictures.quadrants(600, 400)
    small = opened(make_thumbnail(scene))
    np.testing.assert_allclose(pictures.corners(small), pictures.corners(scene), atol=8)
    assert scene.size == (600, 400)


def test_carries_no_metadata() -> None:
    block = pictures.exif(6, make="Canon")
    profile = pictures.wide_gamut_profile()
    content = pictures.encoded(
        pictures.quadrants(600, 400), "JPEG", exif=block, icc_profile=profile, comment=b"secret"
    )
    thumbnail = make_thumbnail(read_image(content).rgb)
    assert not {"exif", "icc_profile", "comment"} & set(opened(thumbnail).info)


def test_is_small() -> None:
    assert len(make_thumbnail(pictures.quadrants(3000, 2000))) < 8_000
