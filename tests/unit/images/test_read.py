from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from composir.images import bounds, formats, read_image
from tests import pictures
from tests.pictures import BLUE, GREEN, RED, YELLOW, corners, encoded, exif, quadrants

posix = pytest.mark.skipif(os.name != "posix", reason="special files are made on POSIX only")


def assert_corners(rgb: Image.Image, *expected: tuple[int, int, int], tolerance: int = 6) -> None:
    assert rgb.mode == "RGB"
    np.testing.assert_allclose(corners(rgb), expected, atol=tolerance)


@pytest.mark.parametrize("name", pictures.COLOUR_PICTURES)
def test_reads_every_format_upright_and_in_its_colours(name: str) -> None:
    image = read_image(pictures.COLOUR_PICTURES[name]())
    assert (image.width, image.height) == image.rgb.size == (48, 32)
    assert_corners(image.rgb, RED, GREEN, BLUE, YELLOW)


@pytest.mark.parametrize("name", pictures.TRANSPARENT_PICTURES)
def test_transparency_becomes_white(name: str) -> None:
    image = read_image(pictures.TRANSPARENT_PICTURES[name]())
    assert_corners(image.rgb, RED, GREEN, BLUE, (255, 255, 255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "TIFF", "PNG"])
def test_heeds_every_exif_orientation(orientation: int, format_name: str) -> None:
    image = read_image(pictures.turned(orientation, format_name))
    assert (image.width, image.height) == (48, 32)
    assert_corners(image.rgb, RED, GREEN, BLUE, YELLOW)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "holiday.gif"
    path.write_bytes(encoded(quadrants(), "PNG"))
    assert read_image(path).format == "PNG"
    assert read_image(str(path)).format == "PNG"


def test_cmyk_without_adobe_marker_is_not_inverted() -> None:
    adobe = encoded(Image.new("CMYK", (16, 16), (0, 200, 180, 30)), "JPEG", quality=95)
    start = adobe.index(b"\xff\xee")
    length = struct.unpack(">H", adobe[start + 2 : start + 4])[0]
    plain = adobe[:start] + adobe[start + 2 + length :]
    red, dark = (np.asarray(read_image(content).rgb)[8, 8] for content in (adobe, plain))
    np.testing.assert_allclose(red, (225, 49, 66), atol=3)
    # The same numbers as ink: (255, 55, 75, 225).
    np.testing.assert_allclose(dark, (0, 24, 21), atol=3)


class TestDepth:
    def ramp(self, dtype: str, high: float) -> Image.Image:
        return Image.fromarray(np.linspace(0, high, 256).reshape(16, 16).astype(dtype))

    @pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_not_clipped(self, format_name: str) -> None:
        image = read_image(encoded(self.ramp("uint16", 65535), format_name))
        assert np.asarray(image.rgb)[..., 0].ravel().tolist() == list(range(256))

    def test_dark_16_bit_grey_stays_dark(self) -> None:
        image = read_image(encoded(self.ramp("uint16", 255), "PNG"))
        assert np.asarray(image.rgb).max() == 1

    @pytest.mark.parametrize(
        ("dtype", "high"), [("int32", 255), ("int32", 65535), ("float32", 1), ("float32", 9e8)]
    )
    def test_32_bit_pictures_use_the_range_that_they_have(self, dtype: str, high: float) -> None:
        image = read_image(encoded(self.ramp(dtype, high), "TIFF"))
        np.testing.assert_allclose(np.asarray(image.rgb)[..., 0].ravel(), range(256), atol=1)

    def test_not_a_number_is_black(self) -> None:
        values = np.array([[np.nan, 0.0], [0.5, 1.0]], dtype=np.float32)
        rgb = read_image(Image.fromarray(values)).rgb
        assert np.asarray(rgb)[..., 0].tolist() == [[0, 0], [128, 255]]

    def test_a_constant_float_picture_is_read(self) -> None:
        rgb = read_image(Image.fromarray(np.full((4, 4), 7e6, dtype=np.float32))).rgb
        assert rgb.getextrema() == ((0, 0),) * 3

    def test_one_bit(self) -> None:
        picture = Image.fromarray(np.eye(8, dtype=bool))
        rgb = np.asarray(read_image(encoded(picture, "PNG")).rgb)
        assert (rgb[..., 0] == np.eye(8) * 255).all()


MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B"  # all of Pillow's


@pytest.mark.parametrize("mode", MODES.split())
@pytest.mark.parametrize("min_side", [None, 4])
def test_pillow_images_of_every_mode(mode: str, min_side: int | None) -> None:
    image = read_image(Image.new(mode, (20, 10)), min_side=min_side)
    assert image.rgb.mode == "RGB"
    assert (image.width, image.height) == (20, 10)
    assert image.rgb.size == ((20, 10) if min_side is None else (10, 5))


def test_a_pillow_image_is_left_as_it_is() -> None:
    source = quadrants()
    rgb = read_image(source).rgb
    rgb.paste("black", (0, 0, 48, 32))
    assert_corners(source, RED, GREEN, BLUE, YELLOW)


def test_a_pillow_image_opened_by_the_user_is_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(pictures.turned(6))
    with Image.open(path) as source:
        image = read_image(source)
    assert (image.width, image.height) == (48, 32)
    assert_corners(image.rgb, RED, GREEN, BLUE, YELLOW)


def test_a_picture_that_was_read_can_be_read_again() -> None:
    profile = pictures.wide_gamut_profile()
    for content in (pictures.turned(6), encoded(quadrants(), "JPEG", icc_profile=profile)):
        once = read_image(content).rgb
        assert read_image(once).rgb.tobytes() == once.tobytes()


class TestProfiles:
    def test_a_wide_gamut_profile_is_applied(self) -> None:
        content = encoded(quadrants(), "PNG", icc_profile=pictures.wide_gamut_profile())
        swapped = [(green, red, blue) for red, green, blue in (RED, GREEN, BLUE, YELLOW)]
        assert_corners(read_image(content).rgb, *swapped)

    def test_srgb_and_broken_profiles_change_nothing(self) -> None:
        plain = read_image(encoded(quadrants(), "PNG", icc_profile=b"broken" * 100)).rgb
        assert plain.tobytes() == quadrants().tobytes()


class TestMinSide:
    @pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
    @pytest.mark.parametrize("min_side", [10, 30, 100, 333, 400, 5000])
    def test_the_short_side_never_falls_below(self, format_name: str, min_side: int) -> None:
        picture = quadrants(600, 400)
        image = read_image(encoded(picture, format_name), min_side=min_side)
        assert (image.width, image.height) == (600, 400)
        assert min(image.rgb.size) >= min(min_side, 400)
        assert min(image.rgb.size) < 2 * min_side
        assert_corners(image.rgb, RED, GREEN, BLUE, YELLOW, tolerance=8)

    @pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (3, 4000)])
    def test_extreme_shapes(self, size: tuple[int, int]) -> None:
        image = read_image(encoded(Image.new("RGB", size, RED), "PNG"), min_side=64)
        assert image.rgb.size == size

    def test_turned_pictures_report_the_upright_size(self) -> None:
        stored = quadrants(400, 600)
        content = encoded(stored, "JPEG", exif=exif(6))
        image = read_image(content, min_side=50)
        assert (image.width, image.height) == (600, 400)
        assert image.rgb.size == (75, 50)

    def test_shrinking_does_not_bleed_hidden_colours(self) -> None:
        hidden = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
        rgb = read_image(encoded(hidden, "PNG"), min_side=8).rgb
        assert rgb.getextrema() == ((255, 255),) * 3

    def test_strips_leave_no_seams(self) -> None:
        smooth = Image.linear_gradient("L").resize((1500, 3001)).convert("RGB")
        ours = np.asarray(read_image(encoded(smooth, "PNG"), min_side=200).rgb, dtype=int)
        assert ours.shape == (429, 215, 3)
        np.testing.assert_allclose(ours, np.asarray(smooth.reduce(7)), atol=1)


class TestExif:
    def test_date_and_camera(self) -> None:
        block = exif(
            original="2023:05:06 12:34:56",
            changed="2024:01:01 00:00:00",
            make="Canon",
            model="Canon EOS 5D",
        )
        image = read_image(encoded(quadrants(), "JPEG", exif=block))
        assert image.taken_at == datetime(2023, 5, 6, 12, 34, 56)
        assert image.camera == "Canon EOS 5D"

    @pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
    def test_is_found_in_every_format(self, format_name: str) -> None:
        block = exif(original="2023:05:06 12:34:56", make="Apple", model="iPhone 15")
        image = read_image(encoded(quadrants(), format_name, exif=block))
        assert image.taken_at == datetime(2023, 5, 6, 12, 34, 56)
        assert image.camera == "Apple iPhone 15"

    def test_the_change_date_stands_in(self) -> None:
        content = encoded(quadrants(), "JPEG", exif=exif(changed="2024-01-02T03:04:05+01:00"))
        assert read_image(content).taken_at == datetime(2024, 1, 2, 3, 4, 5)

    @pytest.mark.parametrize(
        "garbage", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2023:13:45 99:00:00", "", "yes"]
    )
    def test_garbage_dates_are_no_dates(self, garbage: str) -> None:
        content = encoded(quadrants(), "JPEG", exif=exif(original=garbage))
        assert read_image(content).taken_at is None

    @pytest.mark.parametrize(
        ("make", "model", "camera"),
        [
            ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
            ("Panasonic", "DMC-G9", "Panasonic DMC-G9"),
            ("Canon\0\0", "  EOS\n5D ", "Canon EOS 5D"),
            (None, "HERO9", "HERO9"),
            ("SONY", None, "SONY"),
            ("", "", None),
        ],
    )
    def test_the_maker_is_named_once(
        self, make: str | None, model: str | None, camera: str | None
    ) -> None:
        content = encoded(quadrants(), "JPEG", exif=exif(make=make, model=model))
        assert read_image(content).camera == camera

    @given(block=st.binary(max_size=200))
    @settings(max_examples=100, deadline=None)
    @example(
        block=b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\xff\xff\xff\xff" * 9
    )
    def test_nonsense_is_ignored_in_silence(self, block: bytes) -> None:
        content = encoded(quadrants(), "JPEG", exif=b"Exif\0\0" + block)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = read_image(content)
        assert not caught
        assert image.rgb.size in {(48, 32), (32, 48)}


def test_heic_is_read_with_the_extra(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the heif extra is not installed")
    path = tmp_path / "photo.heic"
    heif.from_pillow(quadrants()).save(path, quality=95, chroma=444)
    image = read_image(path)
    assert image.format == "HEIF"
    assert_corners(image.rgb, RED, GREEN, BLUE, YELLOW)


def test_a_100_megapixel_jpeg_is_decoded_small(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    Image.new("L", (12_000, 9_000), 77).save(path, "JPEG")
    script = (
        "import resource, sys; from composir.images import read_image\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak(); image = read_image(sys.argv[1], min_side=520)\n"
        "print(image.width, image.height, *image.rgb.size, peak() - before)"
    )
    pytest.importorskip("resource", reason="peak memory is measured on POSIX only")
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    width, height, small_width, small_height, megabytes = map(int, done.stdout.split())
    assert (width, height) == (12_000, 9_000)
    assert (small_width, small_height) == (750, 563)
    assert megabytes < 100


class TestThreads:
    def test_many_threads_at_once_agree(self) -> None:
        contents = [make() for make in pictures.COLOUR_PICTURES.values()] * 3
        alone = [read_image(content).rgb.tobytes() for content in contents]
        with ThreadPoolExecutor(8) as pool:
            together = [image.rgb.tobytes() for image in pool.map(read_image, contents)]
        assert together == alone

    def test_huge_pictures_take_turns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decoding, most = set[int](), [0]
        load = ImageFile.ImageFile.load

        def counted(picture: ImageFile.ImageFile) -> object:
            decoding.add(threading.get_ident())
            most[0] = max(most[0], len(decoding))
            try:
                return load(picture)
            finally:
                decoding.discard(threading.get_ident())

        content = encoded(Image.new("L", (5000, 4000)), "PNG")
        monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
        monkeypatch.setattr(bounds, "BUDGET", bounds.MemoryBudget(30 << 20))
        with ThreadPoolExecutor(4) as pool:
            images = list(pool.map(lambda c: read_image(c, min_side=500), [content] * 4))
        assert len(images) == 4
        assert most[0] == 1

    def test_warning_filters_are_as_before(self) -> None:
        before = list(warnings.filters)
        tiff = _tiff_with_odd_tag()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read_image, [tiff] * 20))
        assert list(warnings.filters) == before

    def test_pillow_does_not_warn_through_us(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.warns(UserWarning, match="too many entries"):
                Image.open(io.BytesIO(_tiff_with_odd_tag())).close()
            read_image(_tiff_with_odd_tag())
        assert not caught


def _tiff_with_odd_tag() -> bytes:
    """A readable TIFF whose resolution unit has two values, about which Pillow warns."""
    content = encoded(quadrants(), "TIFF", dpi=(72, 72))
    entry = struct.pack("<HHL", 296, 3, 1)
    assert entry in content
    return content.replace(entry, struct.pack("<HHL", 296, 3, 2))


def test_every_listed_suffix_is_lower_case_and_dotted() -> None:
    assert {".jpg", ".png", ".webp", ".heic"} <= formats.PICTURE_SUFFIXES
    assert all(s.startswith(".") and s == s.lower() for s in formats.PICTURE_SUFFIXES)
