"""From adapters to composer folders: one text graph; for each start a table, weights and a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from composir.compose.blend import BlendWeights
from composir.compose.trained import ComposerFolder, ComposerManifest, save_composer
from composir.errors import TrainingError
from composir.model import Model
from composir.model.text_encoder import TextEncoder
from composir.train.blend import best_of_grid, best_sum, choose_weights
from composir.train.composer_export import export_adapted_text
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.anchors import text_search_cost
from composir.train.composing.before_after import (
    Row,
    Scores,
    as_markdown,
    as_records,
    compared,
    row,
)
from composir.train.composing.card import composer_fields, write_card
from composir.train.composing.config import (
    ComposeConfig,
    public_command,
    public_settings,
)
from composir.train.composing.data import COMPOSER, Say, Side, vectors_of
from composir.train.composing.packaged import (
    HeldOut,
    Packaged,
    measure_packaged,
    names_for,
)
from composir.train.composing.task import Part
from composir.train.dev_set import DevSet, composer_terms, open_dev_set
from composir.train.frozen import FrozenFoundation
from composir.types import FloatArray

QUERY_GRAPH, TEXT_GRAPH, TABLE = "query.onnx", "text.onnx", "before_after"
COMPARED = (("sum", 2), ("stage 1", 5))
"""What stage 2 is tested against: as told, and its line of the table."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything that is frozen in a run.

    Attributes:
        foundation: The model.
        images: (n, D) float32, unit norm: vectors of all images.
        files: The n images.
        sides: What each start makes of the triplets.
    """

    foundation: FrozenFoundation
    images: FloatArray
    files: tuple[Path, ...]
    sides: tuple[Side, ...]

    @property
    def train_count(self) -> int:
        """Training triplets."""
        return len(self.sides[0].train.questions)

    def packaged(self, say: Say) -> dict[str, Packaged]:
        """What the model's own composers make of the held-out triplets."""
        starts = [side.start.manifest.name for side in self.sides]
        held_out = HeldOut(self.sides[0].held_out.questions, self.images, self.files)
        return measure_packaged(self.foundation.model, starts, held_out, say)


@dataclass(frozen=True, slots=True)
class Adapted:
    """What all composers of a run share.

    Attributes:
        graph: The adapted text encoder's file.
        texts: The same, opened.
        training: How it was made, for manifests and tables.
        packaged: The model's own composers on the held-out triplets, by name.
    """

    graph: Path
    texts: TextEncoder
    training: Mapping[str, Any]
    packaged: Mapping[str, Packaged]


@dataclass(frozen=True, slots=True)
class Written:
    """A composer whose graphs are in its folder, and what its manifest and card say.

    Attributes:
        folder: The composer's.
        fields: Of its manifest.
        table: Of its card, as Markdown.
        fixed: Weights that are not chosen.
    """

    folder: Path
    fields: Mapping[str, Any]
    table: str
    fixed: Mapping[str, float]

    def save(self) -> ComposerManifest:
        """Write card and manifest."""
        write_card(self.folder, self.fields, self.table)
        return save_composer(self.folder, self.fields)


def composer_names(first: str, starts: Sequence[ComposerFolder]) -> tuple[str, ...]:
    """Names of the composers that a run writes, one for each start.

    Args:
        first: Of the first.
        starts: Others are named after theirs, `START-compose`.

    Raises:
        TrainingError: If the first would be named as another.
    """
    others = tuple(f"{start.manifest.name}-compose" for start in starts[1:])
    if first in others:
        raise TrainingError(
            f"two composers of this run would be named {first}: give the first start's another "
            "name (--set name=...)"
        )
    return (first, *others)


def write_composers(
    config: ComposeConfig,
    folder: Path,
    tower: AdaptedTower,
    ready: Ready,
    figures: Mapping[str, float],
    say: Say,
) -> ComposerManifest:
    """Write a composer for each start.

    Args:
        config: Of the run.
        folder: The run's.
        tower: With trained adapters.
        ready: What they were trained on.
        figures: Of the weights that were kept.
        say: Takes lines of progress.

    Returns:
        The manifest of the first.

    Raises:
        TrainingError: If the text graph disagrees with torch.
        DatasetError: If a data set that chooses weights is at fault.
    """
    places = _folders(folder, ready.sides)
    adapted = _adapted(config, places[0], tower, ready, figures, say)
    names = composer_names(config.name, [side.start for side in ready.sides])
    written = [
        _write(config, place, name, side, ready, adapted, say)
        for place, name, side in zip(places, names, ready.sides, strict=True)
    ]
    manifests = [one.save() for one in written]
    if config.dev_sets:
        model = ready.foundation.model
        dev = [open_dev_set(one, model, config.cache) for one in config.dev_sets]
        manifests = [_chosen_on(dev, one, model, say).save() for one in written]
    for one in written:
        say(f"wrote {one.folder}")
    return manifests[0]


def shown(figures: Mapping[str, Any]) -> str:
    """Figures as a line."""
    return ", ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, int | float))


def _folders(folder: Path, sides: Sequence[Side]) -> list[Path]:
    """Empty folders for the composers; the query graphs are in them."""
    names = [COMPOSER, *(f"{COMPOSER}-{side.start.manifest.name}" for side in sides[1:])]
    for name, side in zip(names, sides, strict=True):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        start = side.start
        shutil.copyfile(start.file(start.manifest.graph), folder / name / QUERY_GRAPH)
    return [folder / name for name in names]


def _adapted(
    config: ComposeConfig,
    composer: Path,
    tower: AdaptedTower,
    ready: Ready,
    figures: Mapping[str, float],
    say: Say,
) -> Adapted:
    """Export the text encoder into the first composer and measure what is common to all."""
    model, graph = ready.foundation.model, composer / TEXT_GRAPH
    lender = model.bundle.file(model.bundle.manifest.text.graph)
    placed = ready.foundation.framing is not None
    parity = export_adapted_text(tower.switchable(), graph, lender, placed=placed)
    texts = model.with_text_graph(graph)
    costs: dict[str, float] = {}
    if config.text_only:
        costs = text_search_cost(Path(config.text_only), model, texts, config.cache)
        say(shown(costs))
    training = {
        "command": public_command(config, composer.parent),
        "config": public_settings(config),
        "figures": {**figures, **costs},
        "adapter_parameters": tower.parameter_count(),
        "train_triplets": ready.train_count,
        "parity": parity,
    }
    return Adapted(graph, texts, training, ready.packaged(say))


def _write(
    config: ComposeConfig,
    composer: Path,
    name: str,
    side: Side,
    ready: Ready,
    adapted: Adapted,
    say: Say,
) -> Written:
    """Complete the files of one composer: text graph, table, weights."""
    if not (composer / TEXT_GRAPH).exists():
        shutil.copyfile(adapted.graph, composer / TEXT_GRAPH)
    if len(ready.sides) > 1:
        say(f"{name}, on the query side of {side.start.manifest.name}:")
    fixed = config.fixed_weights(side.start.manifest)
    packaged = _packaged_rows(side, composer, adapted)
    rows, weights = _table(side, ready, adapted.texts, fixed, packaged)
    table = _markdown(rows, packaged, side, ready)
    say(table)
    training = {**adapted.training, "before_after": as_records(rows)}
    others = [one.start.manifest.name for one in ready.sides if one is not side]
    if others:
        training["shared_with"] = others
    record = composer.parent / f"{composer.name.replace(COMPOSER, TABLE, 1)}.json"
    record.write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    fields = composer_fields(name, side.start, TEXT_GRAPH, weights, training)
    return Written(composer, fields, table, fixed)


def _chosen_on(dev: Sequence[DevSet], written: Written, model: Model, say: Say) -> Written:
    """Choose the weights anew, on the composed queries of data sets."""
    terms = [(one, composer_terms(written.folder, model, one)) for one in dev]
    choice = choose_weights(terms, written.fixed)
    fields = written.fields
    say(
        f"weights of {fields['name']} chosen on {', '.join(one.name for one in dev)}: "
        f"{dict(choice.settings)}"
    )
    changed = fields["settings"].changed(choice.settings)
    training = {**fields["training"], "blend": choice.provenance}
    return replace(written, fields={**fields, "settings": changed, "training": training})


def _packaged_rows(side: Side, composer: Path, adapted: Adapted) -> list[Row]:
    """Lines of the model's own composers, but of the one that this run makes again."""
    names = names_for(side.start.manifest.name)
    known = [adapted.packaged[name] for name in names if name in adapted.packaged]
    return [one.row for one in known if not one.is_in(composer)]


def _table(
    side: Side,
    ready: Ready,
    adapted: TextEncoder,
    fixed: Mapping[str, float],
    packaged: Sequence[Row],
) -> tuple[list[Row], BlendWeights]:
    """The before/after table, and the weights that the dev triplets choose for stage 2."""

    def scores(part: Part, encoder: TextEncoder) -> Scores:
        return Scores(vectors_of(part, encoder), ready.images, part.questions)

    plain = ready.foundation.model.texts
    before, after = scores(side.dev, plain), scores(side.dev, adapted)
    alpha = best_sum(before.mean_recall)
    tuned, chosen = (best_of_grid(one.mean_recall, fixed) for one in (before, after))
    first, second = scores(side.held_out, plain), scores(side.held_out, adapted)
    own = side.start.manifest.settings
    came = own.model_dump(exclude={"negative_weight"})
    rows = [
        row("image alone", first, {"image": 1.0}),
        row("text alone", first, {"text": 1.0}),
        row("sum", first, alpha),
        row("stage 1, sentence alone", first, {"sentence": 1.0}),
        row("stage 1, as it came", first, came),
        row("stage 1, weights chosen on dev", first, tuned),
        *packaged,
        row("stage 2, sentence alone", second, {"sentence": 1.0}),
        row("stage 2, weights chosen on dev", second, chosen),
    ]
    return rows, own.changed(chosen)


def _markdown(rows: Sequence[Row], packaged: Sequence[Row], side: Side, ready: Ready) -> str:
    questions, images = len(side.held_out.questions), len(ready.images)
    lines = [as_markdown(rows, questions, images), ""]
    chosen = "both with weights chosen on dev"
    lines += [_difference(rows[-1], name, rows[place], chosen) for name, place in COMPARED]
    own = "whose own weights were chosen elsewhere"
    lines += [_difference(rows[-1], f"the {one.name}", one, own) for one in packaged]
    return "\n".join(lines)


def _difference(stage2: Row, name: str, other: Row, weights: str) -> str:
    test = compared(other, stage2)
    return (
        f"R@1 of stage 2 minus {name}: {100 * test.difference:+.1f} points "
        f"({100 * test.low:+.1f} to {100 * test.high:+.1f}, p = {test.p_value:.3f}), {weights}."
    )
