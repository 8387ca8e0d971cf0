"""Stage 2 from trained composers and triplets to new composer folders.

Any composer can be a start, a mapper or ISA: its query graph is kept, its text encoder gets
adapters (Map-to-Compose, arXiv 2504.17990). Several starts share one adapted text encoder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from composir.compose.trained import ComposerFolder, ComposerManifest
from composir.errors import TrainingError
from composir.model import load_model
from composir.model.bundle import Source
from composir.model.text_encoder import TextEncoder
from composir.train.card import Card, write_composer
from composir.train.composer_export import export_adapted_text
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.anchors import anchor_texts, text_search_cost
from composir.train.composing.comparison_table import ComparisonTable, compare, compare_texts
from composir.train.composing.compose_config import ComposeConfig
from composir.train.composing.frozen_inputs import FrozenInputs, freeze_inputs, open_starts
from composir.train.composing.packaged import measure_packaged, rows_beside
from composir.train.composing.picture_moves import fit_moves
from composir.train.composing.task import WATCHED, ComposingTask
from composir.train.config import at_temperature
from composir.train.loop import LoopOptions
from composir.train.run import COMPOSER, QUERY_GRAPH, Log, Run, figures_line, public_command

STAGE, TEXT_GRAPH, TABLE, MOVES = "stage2", "text.onnx", "before_after", "moves.npy"
KEPT = ("input", "preprocess", "tokens", "vector", "templates", "licence", "efficiency")
"""What a composer's manifest takes over from its start's."""


def train_composing(config: ComposeConfig, folder: Path, log: Log) -> ComposerManifest:
    """Train stage 2 and write a composer for each start."""
    model = load_model(config.model)
    starts = open_starts(config.start, model)
    names = composer_names(config.name, starts)
    run = Run.begin(config, folder, log, model)
    foundation = run.foundation
    inputs = freeze_inputs(config, run, starts)
    torch.manual_seed(config.seed)
    tower = AdaptedTower(foundation.text, config.adapters)
    run.log(f"{tower.parameter_count():,} trained parameters ({config.adapters.kind})")
    figures = _train(config, run, tower, inputs)
    places = _composer_folders(folder, starts)
    parity = _export_text(run, tower, places)
    if inputs.variants:
        _write_moves(run, inputs, places)
    adapted = model.with_text_graph(places[0] / TEXT_GRAPH)
    figures |= _text_search_cost(config, run, adapted)
    made = {
        "adapter_parameters": tower.parameter_count(),
        "train_triplets": inputs.train_count,
        "train_text_triplets": inputs.text_count,
        "parity": parity,
    }
    training = run.record(_command(config, folder), figures) | made
    tables = _compared(config, run, inputs, adapted, places)
    for place, name, start, table in zip(places, names, starts, tables, strict=True):
        others = [other.manifest.name for other in starts if other is not start]
        shared = {"shared_with": others} if others else {}
        _write(run, place, name, start.manifest, table, training | shared)
    dev = run.dev_sets(config.dev_sets)
    manifests = [
        run.choose_blend(place, dev, config.fixed_weights(start.manifest))
        for place, start in zip(places, starts, strict=True)
    ]
    for place in places:
        run.log(f"wrote {place}")
    return manifests[0]


def composer_names(first: str, starts: Sequence[ComposerFolder]) -> tuple[str, ...]:
    """Names of the composers that a run writes: `first`, then `START-compose` of other starts."""
    others = tuple(f"{start.manifest.name}-compose" for start in starts[1:])
    if first in others:
        raise TrainingError(
            f"two composers of this run would be named {first}: give the first start's another "
            "name (--set name=...)"
        )
    return (first, *others)


def _train(
    config: ComposeConfig, run: Run, tower: AdaptedTower, inputs: FrozenInputs
) -> dict[str, float]:
    """Train the adapters; figures of the weights that did best on the dev triplets."""
    if not inputs.train_count and not inputs.text_count:
        run.log("no training triplets: the adapters stay at zero, which is stage 1")
        return {}
    task = ComposingTask(
        run.foundation,
        tower,
        inputs.images,
        {one.start.manifest.name: (one.train, one.dev) for one in inputs.variants},
        anchor_texts(config.captions) or inputs.plain_texts,
        (at_temperature(config.composing, run.foundation.temperature), config.mining),
        config.seed,
        inputs.texts,
    )
    before = task.evaluate()
    run.log(f"stage 1: {figures_line(before)}")
    after = run.train(task, LoopOptions(watch=WATCHED, patience=config.patience), STAGE)
    if after[WATCHED] <= before[WATCHED]:
        run.log("training did not help on the dev triplets: the adapters go back to zero (stage 1)")
        tower.reset()
        return before
    return after


def _composer_folders(folder: Path, starts: Sequence[ComposerFolder]) -> list[Path]:
    """Empty folders for the composers; the query graphs are in them."""
    names = [COMPOSER, *(f"{COMPOSER}-{start.manifest.name}" for start in starts[1:])]
    for name, start in zip(names, starts, strict=True):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        shutil.copyfile(start.file(start.manifest.graph), folder / name / QUERY_GRAPH)
    return [folder / name for name in names]


def _export_text(run: Run, tower: AdaptedTower, places: Sequence[Path]) -> float:
    """Write the adapted text encoder into every composer; its parity."""
    bundle, first = run.foundation.model.bundle, places[0] / TEXT_GRAPH
    own = bundle.file(bundle.manifest.text.graph)
    placed = run.foundation.framing is not None
    parity = export_adapted_text(tower.switchable().cpu(), first, own, placed=placed)
    for place in places[1:]:
        shutil.copyfile(first, place / TEXT_GRAPH)
    return parity


def _write_moves(run: Run, inputs: FrozenInputs, places: Sequence[Path]) -> None:
    """Write which way pictures move, as the training triplets tell, into every composer."""
    triplets, images = inputs.variants[0].train.indexed, inputs.images
    targets = [min(rows) for rows in triplets.targets]
    differences = images[targets] - images[triplets.references]
    moves = fit_moves(triplets.texts, differences, run.foundation.model)
    run.log(f"{moves.shape[1]:,} phrases tell which way pictures move")
    for place in places:
        np.save(place / MOVES, moves)


def _compared(
    config: ComposeConfig,
    run: Run,
    inputs: FrozenInputs,
    adapted: TextEncoder,
    places: Sequence[Path],
) -> list[ComparisonTable]:
    """A table for each start: of held-out pictures, or where there are none of texts."""
    packaged = measure_packaged(inputs, run.log)
    tables = []
    for number, (start, place) in enumerate(zip(inputs.starts, places, strict=True)):
        made = start.manifest
        if len(places) > 1:
            run.log(f"on the query side of {made.name}:")
        if inputs.variants:
            beside, fixed = rows_beside(packaged, made.name, place), config.fixed_weights(made)
            tables.append(compare(inputs.variants[number], inputs, adapted, beside, fixed))
        else:
            tables.append(compare_texts(made, inputs, adapted))
        run.log(tables[-1].markdown())
    return tables


def _text_search_cost(config: ComposeConfig, run: Run, adapted: TextEncoder) -> dict[str, float]:
    if not config.text_only:
        return {}
    folder, model = Path(config.text_only), run.foundation.model
    costs = text_search_cost(folder, model, adapted, config.cache)
    run.log(figures_line(costs))
    return costs


def _command(config: ComposeConfig, folder: Path) -> str:
    named = {
        "from": config.start,
        "triplets": config.triplets,
        "text-triplets": config.text_triplets,
        "model": [config.model],
        "out": [folder.name],
    }
    return public_command("compose", named)


def _write(
    run: Run,
    composer: Path,
    name: str,
    start: ComposerManifest,
    compared: ComparisonTable,
    training: Mapping[str, Any],
) -> None:
    """Table, manifest and card of one composer."""
    training = {**training, "before_after": [row.record for row in compared.rows]}
    record = composer.parent / f"{composer.name.replace(COMPOSER, TABLE, 1)}.json"
    record.write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    fields = {
        **run.composer(composer, training["command"], {}, {}, ""),
        **{field: getattr(start, field) for field in KEPT},
        "name": name,
        "kind": "adapted",
        "text_graph": TEXT_GRAPH,
        "moves": MOVES if (composer / MOVES).exists() else None,
        "switchable": True,
        "settings": compared.weights,
        "sources": [*start.sources, *_sources(training)],
        "training": {**training, "start": {"name": start.name, "training": start.training}},
    }
    write_composer(composer, fields, _card(start, training, compared))


def _sources(training: Mapping[str, Any]) -> list[Source]:
    """What the adapters were trained on."""
    config = training["config"]
    kinds = (
        ("triplets", config["triplets"], training["train_triplets"]),
        ("text triplets", config["text_triplets"], training["train_text_triplets"]),
    )
    return [
        Source(
            name=f"{kind}: {', '.join(named)}",
            licence="not stated",
            use=f"stage 2: {count} {kind}",
        )
        for kind, named, count in kinds
        if named
    ]


def _card(start: ComposerManifest, training: Mapping[str, Any], compared: ComparisonTable) -> Card:
    others = ", ".join(f"`{name}`" for name in training.get("shared_with", ()))
    shared = (
        "\nThe adapted text encoder was trained on this query side and on those of "
        f"{others} in turn, and is the same file for all."
    )
    facts = [
        f"Largest difference of the text graph to torch, in float32: {training['parity']:.1e}."
    ]
    if start.vector:
        facts.append("Its image vector is the query graph's own, not the gallery's.")
    return Card(
        about=(
            "A reference image and words become a query. Second stage of Map-to-Compose (arXiv "
            f"2504.17990) on top of\n`{start.name}`: {training['adapter_parameters']:,} parameters "
            f"of {training['config']['adapters']['kind']} adapters in the text encoder, trained on "
            f"{_counted(training)}.\nImages are indexed as before; queries of "
            f"words alone use the model's own text encoder.{shared if others else ''}"
        ),
        facts=facts,
        figures="Figures of the chosen weights on dev triplets:",
        results=(
            "## Before and after, on triplets held out by reference\n"
            f"{compared.markdown()}\n\nHeld-out triplets come from the same data, so the table "
            "says nothing about other pictures or other ways of asking: measure those "
            "(`composir bench`)."
        ),
        blend=compared.chosen_on,
    )


def _counted(training: Mapping[str, Any]) -> str:
    texts = training["train_text_triplets"]
    return f"{training['train_triplets']:,} triplets" + (
        f" and {texts:,} text triplets" if texts else ""
    )
