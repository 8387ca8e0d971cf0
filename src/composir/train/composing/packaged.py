"""The composers that come with the model, on a run's held-out triplets: what it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from composir.model.checked_files import list_files
from composir.train.composing.comparison_table import MethodRow
from composir.train.composing.frozen_inputs import FrozenInputs
from composir.train.composing.frozen_triplets import found_within

COMPOSE = "compose"
_CHUNK = 64


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


def measure_packaged(inputs: FrozenInputs, log: Callable[[str], None]) -> dict[str, Packaged]:
    """Ask the model's own composers of stage 2 the same triplets, with their own weights."""
    model, found = inputs.foundation.model, dict[str, Packaged]()
    wanted = dict.fromkeys(n for start in inputs.starts for n in _names_for(start.manifest.name))
    if not inputs.variants or not inputs.variants[0].held_out:
        return found
    for name in (name for name in wanted if name in packaged_composers(model)):
        try:
            composer = load_composer(name, model)
            if isinstance(composer, SplicedComposer) and composer.folder.manifest.text_graph:
                log(f"asking the packaged {name} the held-out triplets")
                found[name] = Packaged(composer.folder, _row(name, composer, inputs))
        except ComposirError as error:
            log(f"the table goes without the packaged {name}: {error}")
    return found


def rows_beside(packaged: Mapping[str, Packaged], start: str, composer: Path) -> list[MethodRow]:
    """Lines of the model's composers that the one made from a start is compared with."""
    others = [packaged[name] for name in _names_for(start) if name in packaged]
    return [one.row for one in others if not one.is_in(composer)]


def _names_for(start: str) -> tuple[str, str]:
    return COMPOSE, f"{start}-{COMPOSE}"


def _row(name: str, composer: SplicedComposer, inputs: FrozenInputs) -> MethodRow:
    asked = inputs.variants[0].held_out.indexed
    batches = (_batch(inputs, start) for start in range(0, len(asked), _CHUNK))
    scores = np.concatenate([composer.compose(one).scores(inputs.images) for one in batches])
    weights = composer.weights.model_dump(exclude={"negative_weight"})
    return MethodRow.of(f"packaged {name}", found_within(scores, asked), weights)


def _batch(inputs: FrozenInputs, start: int) -> QueryBatch:
    asked, chosen = inputs.variants[0].held_out.indexed, slice(start, start + _CHUNK)
    references = asked.references[chosen]
    return QueryBatch(
        texts=asked.texts[chosen],
        image_vectors=inputs.images[references],
        images=[partial(_opened, inputs.files[row]) for row in references],
    )


def _opened(file: Path) -> Image.Image:
    try:
        return read_image(file).rgb
    except ImageReadError as error:
        raise ImageReadError(f"{file}: {error}") from error
