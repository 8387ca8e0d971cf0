"""The composers that come with the model, on a run's held-out triplets: what it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from composir.compose import load_composer, packaged_composers
from composir.compose.base import QueryBatch
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import MANIFEST_NAME, ComposerFolder
from composir.errors import ComposirError, ImageReadError
from composir.images import read_image
from composir.model import Model
from composir.model.checked_files import list_files
from composir.train.composing.before_after import MethodRow, row_of
from composir.train.composing.mining import IndexedTriplets
from composir.train.composing.recall import found_within
from composir.types import FloatArray

COMPOSE = "compose"
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is asked, and where the answers are.

    Attributes:
        triplets: The held-out triplets.
        images: (n, D) float32, unit norm: vectors of all images.
        files: Their n files.
    """

    triplets: IndexedTriplets
    images: FloatArray
    files: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Packaged:
    """A composer of the model with its line of the table."""

    folder: ComposerFolder
    row: MethodRow

    def is_in(self, folder: Path) -> bool:
        """Whether the graphs in a folder are its own: a run may make it again."""
        made, there = self.folder.manifest, list_files(folder, MANIFEST_NAME)
        graphs = [name for name in (made.graph, made.text_graph) if name]
        return all(
            name in there and there[name].sha256 == made.files[name].sha256 for name in graphs
        )


def names_for(start: str) -> tuple[str, str]:
    """The model's composers that the one made from a start is compared with, if it has them."""
    return COMPOSE, f"{start}-{COMPOSE}"


def measure_packaged(
    model: Model, starts: Iterable[str], held_out: HeldOut, log: Callable[[str], None]
) -> dict[str, Packaged]:
    """Ask the model's own composers of stage 2 the same triplets, with their own weights."""
    wanted = dict.fromkeys(name for start in starts for name in names_for(start))
    found: dict[str, Packaged] = {}
    for name in wanted:
        if name not in packaged_composers(model) or not held_out.triplets:
            continue
        try:
            composer = load_composer(name, model)
            if isinstance(composer, SplicedComposer) and composer.folder.manifest.text_graph:
                log(f"asking the packaged {name} the held-out triplets")
                found[name] = Packaged(composer.folder, _row(name, composer, held_out))
        except ComposirError as error:
            log(f"the table goes without the packaged {name}: {error}")
    return found


def _row(name: str, composer: SplicedComposer, held_out: HeldOut) -> MethodRow:
    asked = held_out.triplets
    scores = np.concatenate(
        [
            composer.compose(_batch(held_out, start)).scores(held_out.images)
            for start in range(0, len(asked), _CHUNK)
        ]
    )
    weights = composer.weights.model_dump(exclude={"negative_weight"})
    return row_of(f"packaged {name}", found_within(scores, asked), weights)


def _batch(held_out: HeldOut, start: int) -> QueryBatch:
    asked, chosen = held_out.triplets, slice(start, start + _CHUNK)
    references = asked.references[chosen]
    return QueryBatch(
        texts=asked.texts[chosen],
        image_vectors=held_out.images[references],
        images=[partial(_opened, held_out.files[row]) for row in references],
    )


def _opened(file: Path) -> Image.Image:
    try:
        return read_image(file).rgb
    except ImageReadError as error:
        raise ImageReadError(f"{file}: {error}") from error
