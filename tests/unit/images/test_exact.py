"""The geometry of exact preprocessing, held by numbers worked out by hand.

That the pixels are those of the families' own processors: `test_exact_parity`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from composir.errors import ImageReadError
from composir.images import read_image, resampling
from composir.images.preprocess import PreprocessSpec
from composir.images.resampling import Layout, layout
from composir.model.catalogue import load_model
from composir.types import PixelArray
from tests.pictures import RED, encoded

BICUBIC = Image.Resampling.BICUBIC


def spec_of(
    rule: str | None, fit: str = "centre-crop", size: int = 224, **more: Any
) -> PreprocessSpec:
    return PreprocessSpec.model_validate({"size": size, "fit": fit, "exact": rule, **more})


def noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width + 10_000 * height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def around(picture: Image.Image, size: tuple[int, int], corner: tuple[int, int]) -> PixelArray:
    """224 x 224 pixels of the whole scaled picture."""
    left, top = corner
    return np.asarray(picture.resize(size, BICUBIC).crop((left, top, left + 224, top + 224)))


class TestLayout:
    def test_the_rules_differ_by_one_row(self) -> None:
        """224 * 497 / 300 is 371.09; of the 147 rows that are too many 73.5 lie above."""
        assert layout(300, 497, spec_of("transformers")) == Layout(224, 371, 0, 73)
        assert layout(300, 497, spec_of("open_clip")) == Layout(224, 371, 0, 74)
        assert layout(497, 300, spec_of("transformers")) == Layout(371, 224, 73, 0)
        assert layout(497, 300, spec_of("open_clip")) == Layout(371, 224, 74, 0)

    def test_halves_are_rounded_to_the_even_row(self) -> None:
        assert layout(227, 224, spec_of("open_clip")).left == 2  # 1.5
        assert layout(225, 224, spec_of("open_clip")).left == 0  # 0.5
        assert layout(229, 224, spec_of("open_clip")).left == 2  # 2.5
        assert [layout(w, 224, spec_of("transformers")).left for w in (225, 227, 229)] == [0, 1, 2]

    def test_the_long_side_is_cut_off_not_rounded(self) -> None:
        assert layout(640, 427, spec_of("transformers")).width == 335  # 335.74
        assert layout(427, 640, spec_of("open_clip")).height == 335

    def test_a_squashed_picture_is_all_of_the_input(self) -> None:
        for rule in ("transformers", "open_clip"):
            assert layout(640, 427, spec_of(rule, "squash")) == Layout(224, 224, 0, 0)

    def test_padding_begins_with_the_larger_part_in_transformers(self) -> None:
        spec = spec_of("transformers", size=8, short_side=5)
        assert layout(10, 10, spec) == Layout(5, 5, -2, -2)
        assert layout(40, 10, spec) == Layout(20, 5, 6, -2)

    def test_the_long_side_decides_where_open_clip_pads(self) -> None:
        """100 x 33 on 64: 33 * 64 / 100 is 21.12; of the 43 rows that lack 21 come above."""
        assert layout(100, 33, spec_of("open_clip", "pad", 64)) == Layout(64, 21, 0, -21)
        assert layout(33, 100, spec_of("open_clip", "pad", 64)) == Layout(21, 64, -21, 0)
        assert layout(5000, 1, spec_of("open_clip", "pad", 64)) == Layout(64, 1, 0, -31)

    @given(
        st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(["transformers", "open_clip"])
    )
    def test_the_crop_always_lies_on_the_picture(self, width: int, height: int, rule: str) -> None:
        place = layout(width, height, spec_of(rule))
        assert min(place.width, place.height) == 224
        assert 0 <= place.left <= place.width - 224
        assert 0 <= place.top <= place.height - 224
        beyond = place.width - 224 - 2 * place.left, place.height - 224 - 2 * place.top
        assert {abs(spare) for spare in beyond} <= {0, 1}


class TestPixels:
    def test_crops_are_of_the_whole_scaled_picture(self) -> None:
        tall, wide = noise(300, 497), noise(497, 300)
        for rule, begin in (("transformers", 73), ("open_clip", 74)):
            ours = spec_of(rule).apply(tall)
            np.testing.assert_array_equal(ours, around(tall, (224, 371), (0, begin)))
            ours = spec_of(rule).apply(wide)
            np.testing.assert_array_equal(ours, around(wide, (371, 224), (begin, 0)))

    def test_no_shortcut_is_taken(self) -> None:
        picture = noise(1500, 1400)
        fast, exactly = (
            spec_of(None, "squash").apply(picture),
            spec_of("open_clip", "squash").apply(picture),
        )
        np.testing.assert_array_equal(exactly, np.asarray(picture.resize((224, 224), BICUBIC)))
        assert np.abs(fast.astype(int) - exactly).max() > 1

    def test_a_picture_of_the_right_size_is_left_as_it_is(self) -> None:
        picture = noise(224, 224)
        for rule in ("transformers", "open_clip"):
            np.testing.assert_array_equal(spec_of(rule).apply(picture), np.asarray(picture))

    def test_what_is_smaller_than_the_crop_is_padded(self) -> None:
        pixels = spec_of("transformers", size=8, short_side=5).apply(Image.new("RGB", (9, 9), RED))
        shown = np.flatnonzero(pixels[:, 4, 0]).tolist()
        assert shown == [2, 3, 4, 5, 6]
        assert np.flatnonzero(pixels[4, :, 0]).tolist() == shown

    def test_the_padding_has_its_colour(self) -> None:
        spec = spec_of("open_clip", "pad", 64, pad_colour=(9, 8, 7))
        pixels = spec.apply(Image.new("RGB", (100, 33), RED))
        assert tuple(pixels[20, 5]) == (9, 8, 7)
        assert tuple(pixels[21, 5]) == tuple(pixels[41, 63]) == RED
        assert tuple(pixels[42, 5]) == (9, 8, 7)

    @pytest.mark.parametrize(
        "size", [(3, 700), (700, 3), (90, 2000), (2000, 90), (260, 800), (800, 260)]
    )
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    def test_a_part_is_scaled_as_the_whole_would_be(
        self, size: tuple[int, int], interpolation: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture, resample = noise(*size), resampling.RESAMPLE[interpolation]
        monkeypatch.setattr(resampling, "_LARGEST", 0)
        spec = spec_of("transformers", size=40, interpolation=interpolation)
        place = layout(*size, spec)
        if size[1] > max(size[0], place.height):  # the order in which Pillow 13 scales
            whole = picture.resize((size[0], place.height), resample)
        else:
            whole = picture.resize((place.width, size[1]), resample)
        whole = whole.resize((place.width, place.height), resample)
        corner = (place.left, place.top, place.left + 40, place.top + 40)
        difference = spec.apply(picture).astype(int) - np.asarray(whole.crop(corner))
        assert np.abs(difference).max() <= 1

    @pytest.mark.parametrize("size", [(1, 9_000_000), (9_000_000, 1), (2, 3_000_000)])
    def test_the_middle_of_an_endless_picture(self, size: tuple[int, int]) -> None:
        """Scaled as a whole the first would take 1.8 terabytes."""
        picture = Image.new("RGB", size, RED)
        pixels = spec_of("transformers").apply(picture)
        assert (pixels == RED).all()
        assert pixels.shape == (224, 224, 3)

    @pytest.mark.parametrize("fit", ["squash", "pad"])
    def test_all_of_an_endless_picture_is_refused(self, fit: str) -> None:
        picture = Image.new("RGB", (3_000_000, 1), RED)
        with pytest.raises(ImageReadError, match=r"3,000,000 x 1 pixels are too long .* 91 MiB"):
            spec_of("open_clip", fit).apply(picture)
        assert spec_of("open_clip", fit).apply(picture.crop((0, 0, 65_535, 1))).shape[0] == 224


class TestSpecification:
    def test_earlier_specifications_keep_their_json(self) -> None:
        """It is hashed into fingerprints, which galleries and composers are bound to."""
        assert PreprocessSpec(size=260).model_dump_json() == (
            '{"size":260,"fit":"centre-crop","pad_ratio":1.25,"pad_colour":[0,0,0],'
            '"interpolation":"bicubic","mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}'
        )

    def test_the_packaged_model_keeps_its_fingerprint(self) -> None:
        bundle = load_model("mini").bundle
        written = json.loads((bundle.folder / "bundle.json").read_text("utf-8"))["image"][
            "preprocess"
        ]
        spec = bundle.manifest.image.preprocess
        assert spec.model_dump_json() == json.dumps(written, separators=(",", ":"))
        composers = bundle.composer_folders().values()
        bound = {
            json.loads((f / "composer.json").read_text())["model"]["fingerprint"] for f in composers
        }
        assert bound == {bundle.fingerprint}

    def test_an_exact_one_has_another_json_and_survives_it(self) -> None:
        spec = spec_of("transformers", short_side=256)
        dumped = json.loads(spec.model_dump_json())
        assert (dumped["exact"], dumped["short_side"]) == ("transformers", 256)
        assert PreprocessSpec.model_validate_json(spec.model_dump_json()) == spec
        assert PreprocessSpec.model_validate(spec.model_dump(mode="json")) == spec
        assert "short_side" not in spec_of("open_clip").model_dump()

    @pytest.mark.parametrize(
        "fields",
        [{"exact": "torchvision"}, {"exact": "transformers", "fit": "pad"},
         {"exact": "open_clip", "fit": "targetpad"}, {"short_side": 256},
         {"exact": "open_clip", "short_side": 256},
         {"exact": "transformers", "fit": "squash", "short_side": 256}],
    )  # fmt: skip
    def test_what_no_processor_does_is_refused(self, fields: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            PreprocessSpec.model_validate({"size": 224, **fields})

    def test_pictures_are_decoded_whole(self) -> None:
        content = encoded(noise(1200, 900), "JPEG", quality=80)
        spec = spec_of("transformers")
        assert spec.min_side is None
        assert read_image(content, min_side=spec.min_side).rgb.size == (1200, 900)
        assert spec_of(None).min_side == 336

    def test_the_window_is_what_is_shown(self) -> None:
        assert spec_of("open_clip").window(Image.new("RGB", (400, 300))) == (300, 300)
        cropped = spec_of("transformers", short_side=256).window(Image.new("RGB", (400, 256)))
        assert cropped == (224, 224)
