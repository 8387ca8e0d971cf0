"""What a number of a configuration may be, by the setting's name: no run begins with nonsense.

Ranges are wide, what only a recipe can judge is checked there; but NaN, infinite numbers and sizes
that no memory holds are refused before anything is read or computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from composir.errors import TrainingError
from composir.limits import LARGEST_SEED

Range: TypeAlias = tuple[float, float]

_SHARE, _DROPPED = (0.0, 1.0), (0.0, 0.99)
_WEIGHT, _RATE, _TEMPERATURE = (0.0, 1e4), (0.0, 10.0), (1e-4, 100.0)
_STEPS, _EVERY = (0, 10**8), (1, 10**8)
_MANY, _WIDTH, _FEW = (0, 10**6), (1, 16_384), (0, 256)

WHOLE: Mapping[str, Range] = {
    "anchor_images": _MANY,
    "anchor_texts": _MANY,
    "appearance": (0, 16_384),
    "attention_width": _WIDTH,
    "bank": _MANY,
    "batch": (0, 65_536),
    "checkpoint_every": _EVERY,
    "chunk": (0, 65_536),
    "dev_images": _MANY,
    "dimension": _WIDTH,
    "evaluate_every": _EVERY,
    "group": (0, 65_536),
    "hardest": _MANY,
    "heads": (1, 256),
    "injection_heads": (1, 256),
    "injection_layers": _FEW,
    "injection_width": _WIDTH,
    "kin": (0, 65_536),
    "layers": _FEW,
    "max_triplets": (-1, 10**9),
    "negatives": _MANY,
    "neighbours": _MANY,
    "num_tokens": (1, 64),
    "patience": _STEPS,
    "pool": _MANY,
    "queue": _MANY,
    "reference": _MANY,
    "refinement_blocks": _FEW,
    "refresh_every": _STEPS,
    "seed": (0, LARGEST_SEED),
    "shown": _MANY,
    "size": (0, 4096),
    "steps": _STEPS,
    "text": _MANY,
    "text_blocks": _FEW,
    "tokens": (1, 64),
    "trained_blocks": _FEW,
    "views": (0, 65_536),
    "warmup": _STEPS,
    "width": _WIDTH,
}
"""Of whole numbers, and of those by name of a data set."""

REAL: Mapping[str, Range] = {
    "alignment": _WEIGHT,
    "alpha": _WEIGHT,
    "anchor_weight": _WEIGHT,
    "attribute_weight": _WEIGHT,
    "attribute_weights": _WEIGHT,
    "attributes_share": _SHARE,
    "average": _SHARE,
    "clip": (1e-9, 1e9),
    "contrastive_weight": _WEIGHT,
    "cosine_weight": _WEIGHT,
    "dev": _SHARE,
    "dev_share": _SHARE,
    "direction": (0.0, 100.0),
    "distillation_weight": _WEIGHT,
    "dropout": _DROPPED,
    "encoder_rate": _RATE,
    "head_rate": _RATE,
    "held_out": _SHARE,
    "image": (0.0, 100.0),
    "image_rate": _RATE,
    "initial_scale": (1e-3, 1e4),
    "max_bad": _SHARE,
    "noise": (0.0, 100.0),
    "patch_dropout": _DROPPED,
    "phrase_share": _SHARE,
    "phrase_weight": _WEIGHT,
    "rate": _RATE,
    "replaced": _SHARE,
    "same_picture": (-10.0, 10.0),
    "sentence": (0.0, 100.0),
    "shared_text": _WEIGHT,
    "soft_share": _SHARE,
    "soft_temperature": _TEMPERATURE,
    "student_temperature": _TEMPERATURE,
    "teacher_temperature": _TEMPERATURE,
    "temperature": _TEMPERATURE,
    "text": (0.0, 100.0),
    "text_rate": _RATE,
    "text_weight": _WEIGHT,
    "token_dropout": _DROPPED,
    "vector_noise": (0.0, 100.0),
    "weight": _WEIGHT,
    "weight_decay": _WEIGHT,
}
"""Of real numbers, likewise."""

_ANY_WHOLE, _ANY_REAL = (-(10**9), 10**9), (-1e9, 1e9)


def check_number(name: str, value: float) -> None:
    """Refuse a number that its setting cannot mean.

    Args:
        name: The setting, with dots, e.g. `loop.steps`.
        value: As given.

    Raises:
        TrainingError: If it is NaN, infinite or out of range.
    """
    known, any_number = (WHOLE, _ANY_WHOLE) if isinstance(value, int) else (REAL, _ANY_REAL)
    least, most = known.get(name.rpartition(".")[2], any_number)
    if not least <= value <= most:  # so that NaN is refused too
        raise TrainingError(
            f"setting {name} is {_shown(value)}: it must be from {_told(least)} to {_told(most)}"
        )


def _told(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _shown(value: float) -> str:
    is_long = isinstance(value, int) and abs(value) >= 10**30
    return "a number of many digits" if is_long else str(value)
