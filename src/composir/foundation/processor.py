"""A checkpoint's own picture processor: what it does, as the bundle's specification."""

from __future__ import annotations

import math
from typing import Any

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint
from composir.images.preprocess import PreprocessSpec

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_FILTERS: dict[int, Any] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}


def load_processor(checkpoint: Checkpoint) -> Any:
    """The family's picture processor, Pillow's variant.

    Raises:
        ModelError: If the checkpoint has none, or it is damaged.
    """
    from transformers import AutoImageProcessor

    for name in ("preprocessor_config.json", "processor_config.json"):
        checkpoint.optional_json(name)  # damaged JSON gets our error
    try:
        return AutoImageProcessor.from_pretrained(
            checkpoint.folder, backend="pil", local_files_only=True
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{checkpoint.folder} does not say how pictures are prepared "
            f"(preprocessor_config.json is missing or damaged): {error}"
        ) from error


def read_preprocess(checkpoint: Checkpoint, size: int) -> PreprocessSpec:
    """How the family prepares pictures.

    Args:
        checkpoint: With a `preprocessor_config.json`.
        size: Side of the image tower's input, pixels.

    Raises:
        ModelError: If it prepares them in a way that bundles cannot state.
    """
    processor = load_processor(checkpoint)
    place = f"{checkpoint.folder}: pictures"
    if not processor.do_resize:
        raise ModelError(f"{place} are not resized, so they need not fit the image tower")
    rescaled = processor.do_rescale and math.isclose(
        processor.rescale_factor, 1 / 255, rel_tol=1e-6
    )
    if not rescaled:
        raise ModelError(f"{place} are not scaled to the range 0 to 1")
    if processor.resample not in _FILTERS:
        raise ModelError(
            f"{place} are resized by a filter ({processor.resample}) that is not known"
        )
    plain = not processor.do_normalize
    return PreprocessSpec(
        size=size,
        interpolation=_FILTERS[processor.resample],
        mean=(0.0, 0.0, 0.0) if plain else tuple(processor.image_mean),
        std=(1.0, 1.0, 1.0) if plain else tuple(processor.image_std),
        exact="transformers",
        **_fit(processor, size, place),
    )


def _fit(processor: Any, size: int, place: str) -> dict[str, Any]:
    """Resized to the very square; or by the short side, and cropped."""
    wanted = {key: value for key, value in dict(processor.size).items() if value is not None}
    if wanted == {"height": size, "width": size}:
        return {"fit": "squash"}
    short = wanted.get("shortest_edge", 0)
    if processor.do_center_crop and list(wanted) == ["shortest_edge"] and short >= size:
        crop = {key: value for key, value in dict(processor.crop_size).items() if value is not None}
        if crop == {"height": size, "width": size}:
            return {"fit": "centre-crop", "short_side": short if short != size else None}
    raise ModelError(
        f"{place} are resized to {wanted} (cropped: {processor.do_center_crop}), which does not "
        f"give the {size} x {size} pixels that the image tower takes"
    )
