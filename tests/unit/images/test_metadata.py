"""Metadata that is too large or damaged never costs the picture."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from composir.errors import ImageReadError
from composir.images import read_image
from tests.pictures import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    corners,
    encoded,
    exif,
    quadrants,
    turned,
    wide_gamut_profile,
)

_LARGE = 3 << 20
_TEXT = b"Comment\0\0" + zlib.compress(b"x" * _LARGE)
_XMP = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>" + b" " * _LARGE)
_PROFILE = b"ICC\0\0" + zlib.compress(bytes(_LARGE))
_SCENE = (RED, GREEN, BLUE, YELLOW)


def with_chunks(content: bytes, *chunks: tuple[bytes, bytes], before: bytes = b"IDAT") -> bytes:
    """A PNG with further chunks before another."""
    extra = b"".join(
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
        for name, body in chunks
    )
    at = content.index(before) - 4
    return content[:at] + extra + content[at:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "chunk",
    [
        (b"zTXt", _TEXT),
        (b"iTXt", _XMP),
        (b"iCCP", _PROFILE),
        (b"tEXt", b"Comment\0" + b"x" * (70 << 20)),
        (b"zTXt", b"Comment\0\0" + b"damaged"),
        (b"zTXt", b"Comment\0\7method"),
        (b"iCCP", b"ICC\0\7method"),
        (b"iCCP", b"damaged"),
        (b"pHYs", b"short"),
        (b"gAMA", b"1"),
    ],
    ids=lambda chunk: f"{chunk[0].decode()}-{len(chunk[1])}",
)
def test_a_png_is_read_without_a_chunk_that_is_in_the_way(
    chunk: tuple[bytes, bytes], before: bytes
) -> None:
    content = with_chunks(encoded(quadrants(), "PNG"), chunk, before=before)
    np.testing.assert_allclose(corners(read_image(content).rgb), _SCENE, atol=6)


def test_what_is_sound_beside_it_is_heeded() -> None:
    profile = b"ICC\0\0" + zlib.compress(wide_gamut_profile())
    plain = turned(6, "PNG")
    expected = read_image(with_chunks(plain, (b"iCCP", profile)))
    image = read_image(with_chunks(plain, (b"iCCP", profile), (b"zTXt", _TEXT)))
    assert image.rgb.tobytes() == expected.rgb.tobytes()
    assert image.rgb.tobytes() != read_image(plain).rgb.tobytes()


def test_a_transparent_colour_is_heeded() -> None:
    content = with_chunks(encoded(quadrants(), "PNG", transparency=YELLOW), (b"zTXt", _TEXT))
    np.testing.assert_allclose(corners(read_image(content).rgb)[3], (255, 255, 255))


def test_a_damaged_picture_with_large_metadata_is_damaged() -> None:
    content = with_chunks(encoded(quadrants(), "PNG"), (b"zTXt", _TEXT))
    with pytest.raises(ImageReadError, match="damaged"):
        read_image(content[: content.index(b"IDAT") + 20])


@pytest.mark.parametrize("format_name", ["JPEG", "TIFF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("profile", [b"damaged" * 1000, bytes(5 << 20)], ids=["small", "large"])
def test_a_colour_profile_that_cannot_be_used_is_taken_for_srgb(
    format_name: str, profile: bytes
) -> None:
    content = encoded(quadrants(), format_name, icc_profile=profile, **_best(format_name))
    np.testing.assert_allclose(corners(read_image(content).rgb), _SCENE, atol=8)


@pytest.mark.parametrize("format_name", ["TIFF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("size", [1000, _LARGE])
def test_xmp_of_any_size_is_no_obstacle(format_name: str, size: int) -> None:
    options = _best(format_name)
    if format_name == "TIFF":
        options["tiffinfo"] = {700: b"<x" * (size // 2)}
    else:
        options["xmp"] = b"<x" * (size // 2)
    content = encoded(quadrants(), format_name, **options)
    np.testing.assert_allclose(corners(read_image(content).rgb), _SCENE, atol=8)


@pytest.mark.parametrize("format_name", ["TIFF", "WEBP", "PNG", "AVIF"])
def test_exif_of_any_size_is_no_obstacle(format_name: str) -> None:
    block = Image.Exif()
    block[0x010E] = "x" * _LARGE
    block[0x0110] = "Camera"
    content = encoded(quadrants(), format_name, exif=block.tobytes(), **_best(format_name))
    image = read_image(content)
    np.testing.assert_allclose(corners(image.rgb), _SCENE, atol=8)
    assert image.camera == "Camera"


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "PNG"])
def test_damaged_exif_is_no_obstacle(format_name: str) -> None:
    block = exif(1, make="Canon", model="R5", original="2023:05:06 12:34:56")
    generator = np.random.default_rng(5)
    for _ in range(40):
        damaged = bytearray(block)
        for place in generator.integers(14, len(block), 6):
            damaged[place] = generator.integers(256)
        content = encoded(quadrants(), format_name, exif=bytes(damaged), **_best(format_name))
        assert sorted(read_image(content).rgb.size) == [32, 48]


def _best(format_name: str) -> dict[str, object]:
    options: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 95},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    }
    return options.get(format_name, {})
