"""A checkpoint of a family and the bundle that was made of it."""

from __future__ import annotations

from pathlib import Path

from composir.foundation.checkpoint import Checkpoint
from composir.foundation.families import family_named, family_of
from composir.foundation.importer import import_model
from composir.foundation.parts import Reference
from composir.foundation.transformers_code import quiet
from composir.model import load_model
from tests.foundation.checkpoints import WRITERS


class Imported:
    """One checkpoint, its bundle, and what was said meanwhile."""

    def __init__(self, name: str, folder: Path) -> None:
        with quiet():
            self.source = WRITERS[name](folder / "some-model")
        self.said: list[str] = []
        self.manifest = import_model(
            self.source, folder / "bundle", name=name, quantise="int8", say=self.said.append
        )
        self.model = load_model(folder / "bundle")
        checkpoint = Checkpoint(self.source)
        self.reference: Reference = family_named(family_of(checkpoint)).reference(checkpoint)
