"""Pictures that cannot be read are refused with a reason, never with a crash."""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from composir.errors import ImageReadError
from composir.images import formats, read_image
from tests import pictures
from tests.pictures import encoded, exif, quadrants

posix = pytest.mark.skipif(os.name != "posix", reason="special files are made on POSIX only")


class TestRefusals:
    @pytest.mark.parametrize("name", pictures.BAD_PICTURES)
    def test_a_bad_picture_gives_a_reason(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / name
        path.write_bytes(pictures.BAD_PICTURES[name]())
        for min_side in (None, 16):
            with pytest.raises(ImageReadError) as caught:
                read_image(path, min_side=min_side)
            assert len(str(caught.value)) > 5
            assert str(tmp_path) not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("empty.jpg", "empty file"),
            ("text.jpg", "a text file, not a picture"),
            ("page.jpg", "an HTML page"),
            ("cut.jpg", "truncated"),
            ("bomb.png", "100,000 x 100,000 pixels are too many"),
            ("bomb.webp", "16,383 x 16,383 pixels are too many"),
            ("no-pixels.png", "no pixels"),
            ("postscript.jpg", "a PostScript document"),
        ],
    )
    def test_reasons_are_plain(self, name: str, reason: str) -> None:
        with pytest.raises(ImageReadError, match=reason):
            read_image(pictures.BAD_PICTURES[name]())

    @posix
    def test_special_files_are_never_opened(self, tmp_path: Path) -> None:
        for path in [*pictures.write_special_files(tmp_path), Path(os.devnull)]:
            with pytest.raises(ImageReadError):
                read_image(path)

    def test_missing_and_impossible_paths(self, tmp_path: Path) -> None:
        for path in (tmp_path / "gone.jpg", "null\0character.jpg", "x" * 5000):
            with pytest.raises(ImageReadError):
                read_image(path)

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "secret.jpg"
        path.write_bytes(encoded(quadrants(), "JPEG"))

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(ImageReadError, match="Permission denied"):
            read_image(path)

    def test_a_file_that_vanishes_after_the_look(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "gone.jpg"
        path.write_bytes(encoded(quadrants(), "JPEG"))
        real_open = os.open

        def vanish(name: str, flags: int) -> int:
            path.unlink()
            return real_open(name, flags)

        monkeypatch.setattr(os, "open", vanish)
        with pytest.raises(ImageReadError, match="no such file"):
            read_image(path)

    def test_a_pillow_image_without_pixels(self) -> None:
        with pytest.raises(ImageReadError, match=r"no pixels \(0 x 5\)"):
            read_image(Image.new("RGB", (0, 5)))

    def test_heic_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(ImageReadError, match=r"composir\[heif\]") as caught:
            read_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
        assert caught.value.needs == "pillow-heif"

    def test_a_pillow_without_a_format_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = encoded(quadrants(), "WEBP")
        monkeypatch.setattr("PIL.features.check", lambda feature: feature != "webp")
        with pytest.raises(ImageReadError, match="needs Pillow with WebP") as caught:
            read_image(content)
        assert caught.value.needs is not None
        assert not formats.is_there(caught.value.needs)
        monkeypatch.undo()
        assert formats.is_there(caught.value.needs)

    def test_a_need_is_there_once_its_module_can_be_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(formats, "_MODULES", {"some-plugin": "a_module_of_this_test"})
        assert not formats.is_there("some-plugin")
        (tmp_path / "a_module_of_this_test.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        assert formats.is_there("some-plugin")
        assert not formats.is_there("something of a later version")

    @pytest.mark.parametrize(
        "error",
        [
            struct.error("x"),
            SyntaxError("x"),
            RecursionError("x"),
            MemoryError(),
            OverflowError("x"),
            Image.DecompressionBombError("x"),
            AttributeError("x"),
            AssertionError(),
        ],
    )
    def test_whatever_a_plugin_raises_becomes_a_reason(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: object) -> None:
            raise error

        monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
        with pytest.raises(ImageReadError) as caught:
            read_image(encoded(quadrants(), "JPEG"))
        assert caught.value.__cause__ is error

    def test_keyboard_interrupt_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ImageFile.ImageFile, "load", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read_image(encoded(quadrants(), "JPEG"))


MUTABLE: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded(pictures.noise(24, 24), "JPEG", exif=exif(6, make="Canon")),
    "PNG": lambda: encoded(pictures.noise(24, 24).quantize(16), "PNG", transparency=3),
    "GIF": pictures.COLOUR_PICTURES["animated.gif"],
    "WEBP": lambda: encoded(pictures.with_alpha(), "WEBP", exif=exif(3)),
    "TIFF": lambda: encoded(pictures.noise(24, 24), "TIFF", compression="tiff_adobe_deflate"),
    "BMP": lambda: encoded(pictures.noise(24, 24), "BMP"),
}


@pytest.mark.parametrize("format_name", MUTABLE)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_files_are_read_or_refused(format_name: str, data: st.DataObject) -> None:
    content = bytearray(MUTABLE[format_name]())
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, max_size=12)):
        content[place] = value
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with suppress(ImageReadError):
            image = read_image(bytes(content[:end]), min_side=data.draw(st.sampled_from([None, 8])))
            assert image.rgb.mode == "RGB"
            assert min(image.rgb.size) > 0
    assert not caught


@pytest.mark.parametrize("source", [None, 3, bytearray(b"x"), io.BytesIO(b"x"), np.zeros((2, 2))])
def test_what_no_picture_comes_in_is_refused_by_its_type(source: Any) -> None:
    with pytest.raises(ImageReadError, match=f"not {type(source).__name__}"):
        read_image(source)
