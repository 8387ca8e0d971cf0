"""What checkpoints say about their preprocessing, read or refused; no torch, no transformers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composir.errors import ModelError
from composir.foundation.preprocessing import spec_from_processor
from composir.images.preprocess import PreprocessSpec
from tests.processors import BLIP, CLIP, MOBILECLIP2, OPENAI_MEAN, OPENAI_STD, SIGLIP, SIGLIP2

OPENAI = {"mean": tuple(OPENAI_MEAN), "std": tuple(OPENAI_STD)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def made(rule: str, size: int, fit: str, interpolation: str, **more: Any) -> PreprocessSpec:
    fields = {"exact": rule, "size": size, "fit": fit, "interpolation": interpolation, **more}
    return PreprocessSpec.model_validate(fields)


CROPPED = made("transformers", 224, "centre-crop", "bicubic", **OPENAI)
SQUASHED = made("transformers", 224, "squash", "bicubic", **HALF)
BLIPS = made("transformers", 384, "squash", "bicubic", **OPENAI)
MOBILE = made("open_clip", 256, "centre-crop", "bilinear", **PLAIN)


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        (CLIP, CROPPED),
        (SIGLIP, SQUASHED),
        (SIGLIP2, made("transformers", 224, "squash", "bilinear", **HALF)),
        (BLIP, BLIPS),
        (MOBILECLIP2, MOBILE),
    ],
    ids=["clip-vit-base-patch32", "siglip", "siglip2", "blip-itm", "mobileclip2"],
)
def test_what_well_known_checkpoints_say(config: dict[str, Any], spec: PreprocessSpec) -> None:
    assert spec_from_processor(config) == spec


class TestTransformers:
    def test_what_a_file_leaves_out_is_what_its_processor_does(self) -> None:
        assert spec_from_processor({"image_processor_type": "CLIPImageProcessor"}) == CROPPED
        assert spec_from_processor({"image_processor_type": "SiglipImageProcessorFast"}) == SQUASHED
        assert spec_from_processor({"image_processor_type": "BlipImageProcessorPil"}) == BLIPS
        silent = CLIP | {"do_resize": None, "rescale_factor": None, "resample": None, "size": None}
        assert spec_from_processor(silent) == CROPPED

    def test_sizes_as_numbers_and_as_objects(self) -> None:
        sides = {"height": 336, "width": 336}
        for crop in (336, sides):
            for size in (336, {"shortest_edge": 336}):
                assert spec_from_processor(CLIP | {"size": size, "crop_size": crop}).size == 336
        squashed = spec_from_processor(CLIP | {"size": sides, "crop_size": sides})
        assert (squashed.fit, squashed.size) == ("squash", 336)
        assert spec_from_processor(BLIP | {"size": 480}).size == 480

    def test_a_short_side_other_than_the_crop(self) -> None:
        spec = spec_from_processor(CLIP | {"size": {"shortest_edge": 256}})
        assert (spec.size, spec.short_side) == (224, 256)
        assert spec_from_processor(CLIP).short_side is None

    def test_a_file_of_all_processors_of_a_model(self) -> None:
        config = {"processor_class": "SiglipProcessor", "image_processor": SIGLIP2}
        assert spec_from_processor(config) == spec_from_processor(SIGLIP2)

    def test_a_model_without_normalisation(self) -> None:
        spec = spec_from_processor(CLIP | {"do_normalize": False})
        assert (spec.mean, spec.std) == ((0, 0, 0), (1, 1, 1))

    def test_pictures_are_rgb_whatever_it_says(self) -> None:
        for value in (None, True, False):
            assert spec_from_processor(CLIP | {"do_convert_rgb": value}) == CROPPED

    @pytest.mark.parametrize("code", [(1, "lanczos"), (2, "bilinear"), (3, "bicubic")])
    def test_filters(self, code: tuple[int, str]) -> None:
        assert spec_from_processor(SIGLIP | {"resample": code[0]}).interpolation == code[1]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"do_resize": False}, "do_resize is off"),
            ({"do_rescale": False}, "do_rescale is off"),
            ({"rescale_factor": 1 / 127.5}, "rescale_factor is 0.0078"),
            ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'"),
            ({"resample": 0}, r"resample\) is 0"),
            ({"resample": 5}, r"resample\) is 5, none of 1 \(lanczos\)"),
            ({"resample": "bicubic"}, "is 'bicubic'"),
            ({"do_center_crop": False}, "nothing is cropped"),
            ({"do_center_crop": "yes"}, "neither true nor false"),
            ({"do_pad": True}, "do_pad is True"),
            ({"do_flip_channel_order": True}, "do_flip_channel_order"),
            ({"pad_size": {"height": 300, "width": 300}}, "pad_size"),
            ({"crop_size": {"height": 224, "width": 200}}, "224 x 200, which is not square"),
            ({"size": {"height": 256, "width": 256}}, "256 x 256, but crop_size is 224"),
            ({"size": {"longest_edge": 224}}, "longest_edge"),
            ({"size": {"shortest_edge": 224, "longest_edge": 300}}, "longest_edge"),
            ({"size": 0}, "size is 0"),
            ({"size": True}, "size is True"),
            ({"size": -5}, "size is -5"),
            ({"size": 5000, "crop_size": 5000}, "size: .* 2048"),
            ({"image_mean": [0.5, 0.5]}, "image_mean is .* not three numbers"),
            ({"image_mean": "0.5"}, "not three numbers"),
            ({"image_std": [0.5, 0.5, 0.0]}, "cannot be divided by"),
            ({"image_std": [0.5, 0.5, float("nan")]}, "not three numbers"),
            ({"image_std": [0.5, 0.5, 10**400]}, "not three numbers"),
            ({"feature_extractor_type": "ViTFeatureExtractor"}, "ViTFeatureExtractor is unknown"),
            ({"image_processor_type": "Siglip2ImageProcessorFast"}, "NaFlex"),
            ({"feature_extractor_type": None}, "names no image processor"),
        ],
        ids=str,
    )
    def test_what_cannot_be_honoured_is_refused(self, changes: dict[str, Any], reason: str) -> None:
        with pytest.raises(ModelError, match=reason):
            spec_from_processor(CLIP | changes)

    def test_a_size_in_one_number_is_no_square_for_siglip(self) -> None:
        with pytest.raises(ModelError, match="nothing is cropped"):
            spec_from_processor(SIGLIP | {"size": 224})


class TestOpenClip:
    CFG = MOBILECLIP2["preprocess_cfg"]

    def test_the_part_alone_needs_the_size(self) -> None:
        assert spec_from_processor(self.CFG, image_size=256) == MOBILE
        with pytest.raises(ModelError, match="give image_size"):
            spec_from_processor(self.CFG)

    @pytest.mark.parametrize("size", [256, [256, 256], [3, 256, 256]])
    def test_a_size_of_its_own(self, size: Any) -> None:
        assert spec_from_processor(self.CFG | {"size": size}) == MOBILE

    def test_defaults_are_those_of_clip(self) -> None:
        config = {"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg": {}}
        assert spec_from_processor(config) == made(
            "open_clip", 224, "centre-crop", "bicubic", **OPENAI
        )

    def test_resize_modes(self) -> None:
        squashed = spec_from_processor(self.CFG | {"resize_mode": "squash"}, image_size=256)
        assert squashed.fit == "squash"
        padded = self.CFG | {"resize_mode": "longest", "fill_color": 127}
        spec = spec_from_processor(padded, image_size=256)
        assert (spec.fit, spec.pad_colour) == ("pad", (127, 127, 127))

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"resize_mode": "stretch"}, "resize_mode is 'stretch'"),
            ({"interpolation": "nearest"}, "interpolation"),
            ({"mode": "L"}, "mode is 'L'"),
            ({"size": [256, 224]}, "not square"),
            ({"size": [1, 256, 256]}, "size is"),
            ({"fill_color": 300}, "pad_colour"),
            ({"std": 0}, "cannot be divided by"),
        ],
        ids=str,
    )
    def test_what_cannot_be_honoured_is_refused(self, changes: dict[str, Any], reason: str) -> None:
        with pytest.raises(ModelError, match=reason):
            spec_from_processor(self.CFG | {"size": 256} | changes)


def test_another_size_than_the_model_takes_is_refused() -> None:
    assert spec_from_processor(CLIP, image_size=224) == CROPPED
    with pytest.raises(ModelError, match="pictures of 224 pixels for a model that takes 336"):
        spec_from_processor(CLIP, image_size=336)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.sampled_from([CLIP, SIGLIP, BLIP, MOBILECLIP2, MOBILECLIP2["preprocess_cfg"]]), st.data())
def test_whatever_stands_in_a_file_gives_a_specification_or_a_reason(
    config: dict[str, Any], data: st.DataObject
) -> None:
    keys = st.sampled_from(
        [*config, "size", "image_processor", "fill_color", "do_pad", "crop_size"]
    )
    changes = data.draw(st.dictionaries(keys, JSON, min_size=1, max_size=3))
    with contextlib.suppress(ModelError):
        assert spec_from_processor(config | changes).exact is not None


@pytest.mark.parametrize("config", [None, [], "CLIP", 3])
def test_what_is_no_object_is_refused(config: Any) -> None:
    with pytest.raises(ModelError, match="no JSON object"):
        spec_from_processor(config)


def test_reading_them_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, composir.foundation.preprocessing; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
