"""Models that people ask for by name, and where the hub has them: `known_models.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

PREFIX = "open_clip:"
_TABLE = tomllib.loads((files("composir.model") / "known_models.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model.

    Attributes:
        name: What it is called here once it is added.
        source: What `composir models add` takes.
        family: Whose architecture and preprocessing it has.
        width: D, width of its vectors.
        licence: Of the weights, as published.
        good_for: When to take it.
        parameters: Of both towers, in millions; None where that is not published.
    """

    name: str
    source: str
    family: str
    width: int
    licence: str
    good_for: str
    parameters: int | None = None


KNOWN: tuple[KnownModel, ...] = tuple(KnownModel(**row) for row in _TABLE["model"])
REPOSITORIES: Mapping[str, str] = _TABLE["open_clip"]
"""Repositories of the hub, by what open_clip calls `ARCHITECTURE/TAG`."""


def known_model(name_or_source: str) -> KnownModel | None:
    """The known model of a name or a source, or None; a source's revision does not matter."""
    wanted = name_or_source.partition("@")[0].casefold()
    return next((one for one in KNOWN if wanted in {one.name, one.source.casefold()}), None)
