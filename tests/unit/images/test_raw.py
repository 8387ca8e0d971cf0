"""Camera raws are read through the preview inside them."""

from __future__ import annotations

import sys
from contextlib import suppress

import numpy as np
import pytest

from composir.errors import ImageReadError
from composir.images import formats, read_image
from tests import raws
from tests.pictures import BLUE, GREEN, RED, YELLOW, corners, encoded, quadrants

_SCENE = (RED, GREEN, BLUE, YELLOW)


@pytest.mark.parametrize("name", raws.RAWS)
def test_the_largest_preview_is_read(name: str) -> None:
    image = read_image(raws.RAWS[name]())
    assert (image.width, image.height) == image.rgb.size == (1200, 800)
    assert image.format == "RAW"
    np.testing.assert_allclose(corners(image.rgb), _SCENE, atol=6)


@pytest.mark.parametrize("name", raws.RAWS)
def test_the_camera_and_the_time_are_known(name: str) -> None:
    image = read_image(raws.RAWS[name]())
    assert image.camera == "Maker Model 1"
    assert str(image.taken_at) == "2023-05-06 12:34:56"


@pytest.mark.parametrize("name", raws.RAWS)
def test_every_ending_is_looked_for(name: str) -> None:
    assert "." + name.rsplit(".", maxsplit=1)[-1] in formats.PICTURE_SUFFIXES


def test_a_preview_is_decoded_small() -> None:
    image = read_image(raws.nef(content=raws.preview((4800, 3200))), min_side=400)
    assert image.rgb.size == (600, 400)
    assert (image.width, image.height) == (4800, 3200)


def test_the_orientation_of_the_raw_turns_the_preview() -> None:
    image = read_image(raws.nef(orientation=6))
    assert (image.width, image.height) == image.rgb.size == (800, 1200)
    np.testing.assert_allclose(corners(image.rgb), (BLUE, RED, YELLOW, GREEN), atol=6)


@pytest.mark.parametrize("of_raw", [1, 6])
def test_an_orientation_that_both_tell_turns_once(of_raw: int) -> None:
    image = read_image(raws.nef(orientation=of_raw, content=raws.preview(orientation=6)))
    assert image.rgb.size == (800, 1200)


def test_a_raw_without_a_preview_is_a_reason() -> None:
    content = raws.nef()
    bare = content.replace(b"\xff\xd8\xff", b"\0\0\0")
    with pytest.raises(ImageReadError, match="a camera raw without a preview"):
        read_image(bare)


def test_a_tiff_is_no_raw() -> None:
    image = read_image(encoded(quadrants(), "TIFF", compression="jpeg", quality=95))
    assert image.format == "TIFF"


@pytest.mark.parametrize("name", raws.RAWS)
def test_damaged_raws_are_read_or_refused(name: str) -> None:
    whole = raws.RAWS[name]()
    generator = np.random.default_rng(7)
    modes = set()
    for _ in range(25):
        content = bytearray(whole)
        for place in generator.integers(0, min(len(content), 700), 8):
            content[place] = generator.integers(256)
        end = int(generator.integers(len(content) // 2, len(content) + 1))
        with suppress(ImageReadError):
            modes.add(read_image(bytes(content[:end]), min_side=64).rgb.mode)
    assert modes <= {"RGB"}


def test_a_loop_of_directories_ends() -> None:
    tiff = raws.Tiff()
    first = tiff.directory({262: 32803, 330: 8}, 8)
    assert first == 8
    with pytest.raises(ImageReadError, match="without a preview"):
        read_image(tiff.file(first))


def test_jpeg_xl_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    for signature in (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"):
        with pytest.raises(ImageReadError, match=r"composir\[jxl\]") as caught:
            read_image(signature + bytes(100))
        assert caught.value.needs == "pillow-jxl-plugin"
    assert ".jxl" in formats.PICTURE_SUFFIXES


def test_jpeg_xl_is_read_with_the_extra() -> None:
    pytest.importorskip("pillow_jxl", reason="the jxl extra is not installed")
    content = encoded(quadrants(), "JXL", quality=95)
    image = read_image(content)
    assert image.format == "JXL"
    np.testing.assert_allclose(corners(image.rgb), _SCENE, atol=6)
