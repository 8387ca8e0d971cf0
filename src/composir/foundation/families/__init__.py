"""One file a family: how its checkpoints are read. A new one is a file and a line in `FAMILIES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from composir.errors import ModelError
from composir.foundation.checkpoint import CONFIG, Checkpoint
from composir.lazy import imported

if TYPE_CHECKING:
    from composir.foundation.parts import Parts, Reference

FAMILIES = {
    "blip": "composir.foundation.families.blip",
    "clip": "composir.foundation.families.clip",
    "open_clip": "composir.foundation.families.open_clip",
    "siglip": "composir.foundation.families.siglip",
}
"""Where the reader lies, by the `model_type` that a checkpoint's config.json states."""


class Family(Protocol):
    """What a family's file offers."""

    def read(self, checkpoint: Checkpoint) -> Parts:
        """Read a checkpoint's towers, words, tokeniser and rules."""

    def reference(self, checkpoint: Checkpoint) -> Reference:
        """The family's own code over the same checkpoint, to compare with."""


def family_named(name: str) -> Family:
    """The reader of a family."""
    if name not in FAMILIES:
        raise ModelError(f"no family of models named {name!r}; known ones: {', '.join(FAMILIES)}")
    family: Family = imported(FAMILIES[name])
    return family


def family_of(checkpoint: Checkpoint) -> str:
    """Which family a checkpoint belongs to."""
    kind = checkpoint.optional_json(CONFIG).get("model_type")
    if kind in FAMILIES:
        return str(kind)
    if checkpoint.is_of_open_clip:
        return "open_clip"
    raise ModelError(
        f"{checkpoint.folder} is a model of type {kind!r}, not a dual encoder of pictures and "
        f"texts that composir reads: it knows {', '.join(FAMILIES)}"
    )
