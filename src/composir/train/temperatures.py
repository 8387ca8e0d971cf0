"""Temperatures follow the model: its logit scale says how far apart its cosines lie."""

from __future__ import annotations

from typing import TypeVar

from composir.train.config import Settings

USUAL = 0.03
"""The model's temperature that settings are written for."""
_NAMES = frozenset({"temperature", "teacher_temperature", "student_temperature", "replaced"})

Config = TypeVar("Config", bound=Settings)


def at_temperature(settings: Config, own: float | None, *but: str) -> Config:
    """Settings whose temperatures are taken from `USUAL` to a model's own.

    Args:
        settings: Of a trainer; parts of it are gone through too.
        own: The model's temperature; None where it states none, which changes nothing.
        *but: Parts that stay as they are, because they compare in a space of their own.
    """
    if own is None:
        return settings
    changes: dict[str, object] = {}
    for name, value in settings:
        if isinstance(value, Settings) and name not in but:
            changes[name] = at_temperature(value, own, *but)
        elif name in _NAMES:
            changes[name] = value * own / USUAL
    return settings.changed(**changes)
