"""What is imported only when it is used, named `module` or `module:attribute` in tables."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from composir.errors import MissingExtraError


def imported(place: str, extra: str = "") -> Any:
    """Import what a place names.

    Args:
        place: E.g. `composir.compose.arithmetic:Slerp`.
        extra: The extra that brings libraries which the module needs; empty where it needs none.

    Raises:
        MissingExtraError: If such a library is missing.
    """
    module, _, attribute = place.partition(":")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not extra or package == "composir":
            raise
        raise MissingExtraError(package, extra) from error
    return getattr(found, attribute) if attribute else found
