"""A checkpoint's own words about preprocessing, read as a specification or refused.

Two kinds of files are known: `preprocessor_config.json` (since transformers 5 also a part of
`processor_config.json`) of CLIP, SigLIP, SigLIP2 and BLIP, and `open_clip_config.json`. What
changes the pixels and is not known is refused: a model that sees other pixels than it learnt from
answers badly, and nobody notices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from composir.errors import ModelError
from composir.images.preprocess import PreprocessSpec

_Config: TypeAlias = Mapping[str, Any]

_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
_PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's codes
_KNOWN_STEPS = {"resize", "center_crop", "rescale", "normalize", "convert_rgb"}


@dataclass(frozen=True, slots=True)
class _Processor:
    """What an image processor of transformers does where its file is silent.

    Attributes:
        size: Of the square input, pixels.
        is_cropped: Whether the middle is cropped.
        is_square: Whether a size given as one number is of a square, not of the short side.
    """

    size: int
    is_cropped: bool
    is_square: bool
    mean: tuple[float, float, float] = _OPENAI_MEAN
    std: tuple[float, float, float] = _OPENAI_STD


_PROCESSORS = {
    "CLIP": _Processor(224, is_cropped=True, is_square=False),
    "Siglip": _Processor(224, is_cropped=False, is_square=False, mean=_HALF, std=_HALF),
    "Blip": _Processor(384, is_cropped=False, is_square=True),
}


def spec_from_processor(config: _Config, *, image_size: int | None = None) -> PreprocessSpec:
    """Read how a model wants its pictures.

    Args:
        config: The content of `preprocessor_config.json`, `processor_config.json` or
            `open_clip_config.json`, or the `preprocess_cfg` of the last.
        image_size: Side of the model's input, pixels: needed where `preprocess_cfg` stands alone,
            and checked where the file says one of its own.
    """
    if not isinstance(config, Mapping):
        raise ModelError(f"the preprocessing configuration is no JSON object, but {config!r:.60}")
    is_open_clip = (
        "preprocess_cfg" in config or "resize_mode" in config or "interpolation" in config
    )
    fields = _open_clip(config, image_size) if is_open_clip else _transformers(config)
    try:
        spec = PreprocessSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "fields"
        raise _refused(f"{where}: {first['msg']}") from error
    if image_size is not None and spec.size != image_size:
        raise _refused(f"pictures of {spec.size} pixels for a model that takes {image_size}")
    return spec


def _refused(what: str) -> ModelError:
    return ModelError(
        f"the model's preprocessing cannot be done to the pixel: {what}; composir knows what CLIP, "
        "SigLIP, BLIP and open_clip models with a square input of fixed size do"
    )


def _transformers(config: _Config) -> dict[str, Any]:
    inner = config.get("image_processor")
    if isinstance(inner, Mapping):  # processor_config.json holds all processors of a model
        config = inner
    _check_steps(config)
    made = _processor(config)
    normalised = _is_on(config, "do_normalize", default=True)
    return {
        "exact": "transformers",
        "interpolation": _filter(config.get("resample")),
        **_geometry(config, made),
        **(_normalisation(config, "image_mean", "image_std", made) if normalised else _PLAIN),
    }


def _processor(config: _Config) -> _Processor:
    name = config.get("image_processor_type") or config.get("feature_extractor_type")
    if not isinstance(name, str):
        raise _refused("the file names no image processor")
    for ending in ("Fast", "Pil"):
        name = name.removesuffix(ending)
    family = name.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if family == "Siglip2":
        raise _refused("NaFlex models take pictures of any shape; take a model of fixed resolution")
    if family not in _PROCESSORS:
        raise _refused(f"the image processor {name} is unknown")
    return _PROCESSORS[family]


def _check_steps(config: _Config) -> None:
    """Pictures come as RGB whatever `do_convert_rgb` says; every other step has to be known."""
    for key, value in config.items():
        if key.startswith("do_") and value and key.removeprefix("do_") not in _KNOWN_STEPS:
            raise _refused(f"{key} is {value!r}")
    if config.get("pad_size"):
        raise _refused(f"pad_size is {config['pad_size']!r}")
    for step in ("do_resize", "do_rescale"):
        if not _is_on(config, step, default=True):
            raise _refused(f"{step} is off")
    factor = config.get("rescale_factor")
    if factor is not None and not (
        _is_number(factor) and math.isclose(factor, 1 / 255, rel_tol=1e-6)
    ):
        raise _refused(f"rescale_factor is {factor!r}, not 1/255")


def _is_on(config: _Config, key: str, *, default: bool) -> bool:
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _refused(f"{key} is {value!r}, neither true nor false")
    return value


def _filter(code: Any) -> str:
    if code is None:
        return "bicubic"
    if isinstance(code, bool) or not isinstance(code, int) or code not in _FILTERS:
        known = ", ".join(f"{number} ({name})" for number, name in _FILTERS.items())
        raise _refused(f"the filter (resample) is {code!r}, none of {known}")
    return _FILTERS[code]


def _geometry(config: _Config, made: _Processor) -> dict[str, Any]:
    """`size`, `fit` and `short_side`."""
    cropped = _is_on(config, "do_center_crop", default=made.is_cropped)
    short, square = _sides(config.get("size"), made)
    crop = square
    if cropped:
        crop = _square(config.get("crop_size") or made.size, "crop_size")
    if square is not None:
        if crop != square:
            raise _refused(f"size is {square} x {square}, but crop_size is {crop}")
        return {"size": square, "fit": "squash"}
    if not cropped:
        raise _refused("size is of the short side alone, and nothing is cropped")
    return {"size": crop, "fit": "centre-crop"} | ({} if short == crop else {"short_side": short})


def _sides(size: Any, made: _Processor) -> tuple[int | None, int | None]:
    """Length of the short side, or of both sides of a square."""
    if size is None:
        return (made.size, None) if made.is_cropped else (None, made.size)
    if _is_whole(size):
        return (None, size) if made.is_square else (size, None)
    if (
        isinstance(size, Mapping)
        and set(size) == {"shortest_edge"}
        and _is_whole(size["shortest_edge"])
    ):
        return size["shortest_edge"], None
    return None, _square(size, "size")


def _square(size: Any, key: str) -> int:
    if _is_whole(size):
        return int(size)
    sides = [size.get("height"), size.get("width")] if isinstance(size, Mapping) else size
    if isinstance(sides, list | tuple) and len(sides) == 2 and all(map(_is_whole, sides)):
        if sides[0] != sides[1]:
            raise _refused(f"{key} is {sides[0]} x {sides[1]}, which is not square")
        if not isinstance(size, Mapping) or set(size) == {"height", "width"}:
            return int(sides[0])
    raise _refused(f"{key} is {size!r}")


def _open_clip(config: _Config, image_size: int | None) -> dict[str, Any]:
    inner = config.get("preprocess_cfg", config)
    if not isinstance(inner, Mapping):
        raise _refused(f"preprocess_cfg is {inner!r}")
    mode, how = inner.get("resize_mode") or "shortest", inner.get("interpolation") or "bicubic"
    fits = {"shortest": "centre-crop", "squash": "squash", "longest": "pad"}
    if not isinstance(mode, str) or mode not in fits:
        raise _refused(f"resize_mode is {mode!r}")
    if inner.get("mode", "RGB") != "RGB":
        raise _refused(f"mode is {inner['mode']!r}")
    made = _PROCESSORS["CLIP"]  # whose mean and std are open_clip's defaults too
    return {
        "exact": "open_clip",
        "size": _open_clip_size(config, inner, image_size),
        "fit": fits[mode],
        "interpolation": "bicubic" if how == "random" else how,  # random in training alone
        "pad_colour": _colour(inner.get("fill_color", 0)),
        **_normalisation(inner, "mean", "std", made),
    }


def _open_clip_size(config: _Config, inner: _Config, image_size: int | None) -> int:
    vision: Any = config
    for part in ("model_cfg", "vision_cfg"):
        vision = vision.get(part, {}) if isinstance(vision, Mapping) else {}
    of_model = vision.get("image_size") if isinstance(vision, Mapping) else None
    for size in (inner.get("size"), of_model, image_size):
        if size is not None:
            return _channels_last(size)
    raise _refused("no file says the size of the input; give image_size")


def _channels_last(size: Any) -> int:
    """Some files lead with the number of channels: [3, 256, 256]."""
    if isinstance(size, list | tuple) and len(size) == 3 and size[0] == 3:
        size = size[1:]
    return _square(size, "size")


def _colour(value: Any) -> Any:
    return (value,) * 3 if _is_whole(value) or value == 0 else value


def _normalisation(config: _Config, mean: str, std: str, made: _Processor) -> dict[str, Any]:
    """`mean` and `std`; where a file gives one number it is of all channels."""
    found: dict[str, Any] = {}
    for name, key, default in (("mean", mean, made.mean), ("std", std, made.std)):
        value = default if config.get(key) is None else config[key]
        values = (value,) * 3 if _is_number(value) else value
        if not (
            isinstance(values, list | tuple) and len(values) == 3 and all(map(_is_number, values))
        ):
            raise _refused(f"{key} is {value!r}, not three numbers")
        found[name] = tuple(float(one) for one in values)
    if min(found["std"]) <= 0:
        raise _refused(f"{std} is {list(found['std'])}, which cannot be divided by")
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9  # neither infinite nor NaN, nor an integer beyond all floats
