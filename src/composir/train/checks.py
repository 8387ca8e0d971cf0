"""Checks of settings that are the same in every recipe; made before anything is trained."""

from __future__ import annotations

import re

from composir.errors import TrainingError
from composir.limits import LARGEST_SEED
from composir.names import NAME_PATTERN


def check_name_and_seed(name: str, seed: int) -> None:
    """Refuse a name that no manifest takes, and a seed that no generator takes.

    Args:
        name: Of the composer or model that is made.
        seed: Of everything random.

    Raises:
        TrainingError: Naming the setting and what it may be.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise TrainingError(
            f"setting name is {name!r}: use small letters, digits, dots, dashes and underscores, "
            "a letter or digit first, e.g. --set name=my-composer"
        )
    if not 0 <= seed <= LARGEST_SEED:
        raise TrainingError(f"setting seed is {seed}: it must be from 0 to {LARGEST_SEED}")
