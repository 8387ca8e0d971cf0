"""Stage 2 from a trained composer and triplets to a new composer folder.

Any composer can be the start, a mapper or ISA: its query graph is kept, its text encoder gets
adapters (Map-to-Compose, arXiv 2504.17990).
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch

from composir.compose.blend import BlendWeights
from composir.compose.trained import ComposerFolder, ComposerManifest, save_composer
from composir.errors import TrainingError
from composir.model.text_encoder import TextEncoder
from composir.train.blend import choose_weights, composer_terms, open_dev_set
from composir.train.composer_export import export_adapted_text
from composir.train.config import as_dict
from composir.train.frozen import FrozenFoundation
from composir.train.loop import LoopConfig, LoopOptions, train
from composir.train.map_to_compose.adapters import AdaptedTower, AdapterConfig
from composir.train.map_to_compose.anchors import anchor_texts, text_search_cost
from composir.train.map_to_compose.before_after import (
    Row,
    Scores,
    as_markdown,
    as_records,
    choose_alpha,
    choose_blend,
    compared,
    row,
)
from composir.train.map_to_compose.mining import MiningConfig
from composir.train.map_to_compose.own_data import TripletData, read_all, split_triplets
from composir.train.map_to_compose.stage2 import WATCHED, ComposingConfig, ComposingTask, Part
from composir.train.map_to_compose.stage2_card import composer_fields, write_card
from composir.train.map_to_compose.stage2_data import (
    COMPOSER,
    Images,
    encode_images,
    limited,
    make_part,
    open_start,
    readable,
    vectors_of,
)
from composir.train.run_folder import claim

Say: TypeAlias = Callable[[str], None]
QUERY_GRAPH, TEXT_GRAPH = "query.onnx", "text.onnx"
LISTS = ("triplets", "captions", "dev_sets")
STAGE, TABLE, LEFT_OUT = "stage2", "before_after.json", "left_out.txt"


def _loop() -> LoopConfig:
    return LoopConfig(
        steps=400,
        warmup=30,
        weight_decay=0.01,
        average=0.98,
        evaluate_every=50,
        checkpoint_every=50,
    )


@dataclass(frozen=True, slots=True)
class ComposeConfig:
    """Everything that changes the outcome.

    Attributes:
        model: Foundation model: a name or a bundle's folder.
        start: First stage: a run or composer folder, or a packaged composer's name; the packaged
            `map` where empty.
        triplets: Data set folders, JSONL or CSV files (`own_data`).
        images: Folder that file names of a JSONL or CSV are relative to; its own where empty.
        captions: Data set folders or text files of plain captions for the anchor; without them the
            modification texts are anchored.
        text_only: Data set folder of text-only queries, e.g. `flickr8k-dev`, on which the cost of
            adapters in plain text search is measured.
        cache: Folder of cached features.
        name: Of the composer.
        max_triplets: Train on so many; negative for all, 0 gives stage 1 back.
        max_bad: Largest share of unusable rows.
        dev_sets: Data set folders whose composed queries choose the weights of the blend; the dev
            triplets do where there are none.
        dev: Share of references whose triplets choose the checkpoint.
        held_out: Share of references whose triplets make the table.
        adapters: Which adapters.
        mining: Hard negatives.
        composing: Steps.
        loop: How many steps.
        patience: Stop after so many evaluations that are not better; 0: never.
        seed: Of everything random.
    """

    model: str = "mini"
    start: str = ""
    triplets: tuple[Path, ...] = ()
    images: str = ""
    captions: tuple[Path, ...] = ()
    text_only: str = ""
    cache: Path = Path(".cache/features")
    name: str = "compose"
    max_triplets: int = -1
    max_bad: float = 0.1
    dev_sets: tuple[Path, ...] = ()
    dev: float = 0.1
    held_out: float = 0.1
    adapters: AdapterConfig = field(default_factory=AdapterConfig)
    mining: MiningConfig = field(default_factory=MiningConfig)
    composing: ComposingConfig = field(default_factory=ComposingConfig)
    loop: LoopConfig = field(default_factory=_loop)
    patience: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            TrainingError: If nothing names the triplets or a share is out of range.
        """
        if not self.triplets:
            raise TrainingError("no triplets: name a data set folder, .jsonl or .csv (--triplets)")
        if not (0 < self.dev < 1 and 0 < self.held_out < 1 and 0 <= self.max_bad <= 1):
            raise TrainingError("dev and held_out must be between 0 and 1, max_bad from 0 to 1")


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything that is frozen in a run."""

    foundation: FrozenFoundation
    start: ComposerFolder
    data: TripletData
    images: Images
    train: Part
    dev: Part
    held_out: Part


def train_composing(config: ComposeConfig, folder: Path, say: Say) -> ComposerManifest:
    """Train stage 2 and write the composer.

    Args:
        config: What to do.
        folder: Run folder: gets `config.json`, `stage2/`, `composer/`, `before_after.json`, and
            `left_out.txt` with the rows that could not be used.
        say: Takes lines of progress.

    Returns:
        The manifest of `folder/composer`.

    Raises:
        TrainingError: If the folder holds another run, there is no first stage, or there are fewer
            triplets than a batch.
        ModelError: If the first stage is of another model.
        DatasetError: If the triplets are at fault.
    """
    foundation = FrozenFoundation.load(config.model)
    start = open_start(config.start, foundation.model)
    claim(folder, config)
    ready = _prepare(config, folder, foundation, start, say)
    torch.manual_seed(config.seed)
    tower = AdaptedTower(foundation.text, config.adapters)
    say(f"{tower.parameter_count():,} trained parameters ({config.adapters.kind})")
    figures = _train(config, folder / STAGE, tower, ready, say)
    return _finish(config, folder, tower, ready, figures, say)


def _prepare(
    config: ComposeConfig,
    folder: Path,
    foundation: FrozenFoundation,
    start: ComposerFolder,
    say: Say,
) -> Ready:
    below = Path(config.images).expanduser() if config.images else None
    data = read_all(config.triplets, below, config.max_bad)
    say(data.summary())
    left_out = "".join(f"{problem.where}: {problem.reason}\n" for problem in data.problems)
    (folder / LEFT_OUT).write_text(left_out, encoding="utf-8")
    files = tuple(dict.fromkeys([*data.gallery, *(f for t in data.triplets for f in t.images)]))
    references = frozenset(t.reference for t in data.triplets)
    model = foundation.model
    images = encode_images(config.cache, files, references, start, model, say)
    usable = readable(data.triplets, images)
    if len(usable) < len(data.triplets):
        lost = len(data.triplets) - len(usable)
        say(f"{lost:,} triplets are left out because their images cannot be read")
    split = limited(split_triplets(usable, config.dev, config.held_out), config.max_triplets)
    say(
        f"{len(split.train):,} triplets to train on, {len(split.dev):,} dev, "
        f"{len(split.held_out):,} held out; {split.dropped:,} left out as ways back of those"
    )
    parts = [make_part(part, images, start, model) for part in split.parts]
    return Ready(foundation, start, data, images, *parts)


def _train(
    config: ComposeConfig, folder: Path, tower: AdaptedTower, ready: Ready, say: Say
) -> dict[str, float]:
    """Train the adapters; figures of the weights that did best on the dev triplets."""
    if not len(ready.train.questions):
        say("no training triplets: the adapters stay at zero, which is stage 1")
        return {}
    task = ComposingTask(
        ready.foundation,
        tower,
        ready.images.vectors,
        (ready.train, ready.dev),
        anchor_texts(config.captions) or ready.train.questions.texts,
        ready.start.manifest.templates,
        (config.composing, config.mining),
        config.seed,
    )
    before = task.evaluate()
    say(f"stage 1: {_shown(before)}")
    options = LoopOptions(watch=WATCHED, patience=config.patience)
    after = train(task, config.loop, folder, config.seed, lambda r: say(_shown(r)), options)
    if after[WATCHED] <= before[WATCHED]:
        say("training did not help on the dev triplets: the adapters go back to zero (stage 1)")
        tower.reset()
        return before
    return after


def _finish(
    config: ComposeConfig,
    folder: Path,
    tower: AdaptedTower,
    ready: Ready,
    figures: dict[str, float],
    say: Say,
) -> ComposerManifest:
    composer = folder / COMPOSER
    shutil.rmtree(composer, ignore_errors=True)
    composer.mkdir(parents=True)
    start, model = ready.start, ready.foundation.model
    shutil.copyfile(start.file(start.manifest.graph), composer / QUERY_GRAPH)
    parity = export_adapted_text(tower.exportable(), composer / TEXT_GRAPH)
    adapted = model.with_text_graph(composer / TEXT_GRAPH)
    rows, weights = _table(ready, adapted, say)
    if config.text_only:
        costs = text_search_cost(Path(config.text_only), model, adapted, config.cache)
        figures = figures | costs
        say(_shown(costs))
    training = {
        "command": _command(config, folder),
        "config": _public(config),
        "figures": figures,
        "before_after": as_records(rows),
        "adapter_parameters": tower.parameter_count(),
        "train_triplets": len(ready.train.questions),
        "parity": parity,
    }
    (folder / TABLE).write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    fields = composer_fields(config.name, start, TEXT_GRAPH, weights, training)
    write_card(composer, fields, _markdown(rows, ready))
    manifest = save_composer(composer, fields)
    if config.dev_sets:
        manifest = _choose_on(config, composer, fields, rows, ready, say)
    say(f"wrote {composer}")
    return manifest


def _choose_on(
    config: ComposeConfig,
    composer: Path,
    fields: dict[str, Any],
    rows: list[Row],
    ready: Ready,
    say: Say,
) -> ComposerManifest:
    """Choose the weights anew, on the composed queries of data sets."""
    model = ready.foundation.model
    dev = [open_dev_set(one, model, config.cache) for one in config.dev_sets]
    choice = choose_weights([(one, composer_terms(composer, model, one)) for one in dev])
    say(f"weights chosen on {', '.join(one.name for one in dev)}: {dict(choice.settings)}")
    changed = fields["settings"].changed(choice.settings)
    training = {**fields["training"], "blend": choice.provenance}
    fields = fields | {"settings": changed, "training": training}
    write_card(composer, fields, _markdown(rows, ready))
    return save_composer(composer, fields)


def _table(ready: Ready, adapted: TextEncoder, say: Say) -> tuple[list[Row], BlendWeights]:
    """The before/after table, and the weights that the dev triplets choose for stage 2."""
    plain, template = ready.foundation.model.texts, ready.start.manifest.templates.composed

    def scores(part: Part, encoder: TextEncoder) -> Scores:
        vectors = vectors_of(part, ready.images, template, encoder)
        return Scores(vectors, ready.images.vectors, part.questions)

    before, after = scores(ready.dev, plain), scores(ready.dev, adapted)
    alpha, tuned, chosen = choose_alpha(before), choose_blend(before), choose_blend(after)
    first, second = scores(ready.held_out, plain), scores(ready.held_out, adapted)
    own = ready.start.manifest.settings
    came = own.model_dump(exclude={"negative_weight"})
    rows = [
        row("image alone", first, {"image": 1.0}),
        row("text alone", first, {"text": 1.0}),
        row("sum", first, alpha),
        row("stage 1, sentence alone", first, {"sentence": 1.0}),
        row("stage 1, as it came", first, came),
        row("stage 1, weights chosen on dev", first, tuned),
        row("stage 2, sentence alone", second, {"sentence": 1.0}),
        row("stage 2, weights chosen on dev", second, chosen),
    ]
    say(_markdown(rows, ready))
    return rows, own.changed(chosen)


def _markdown(rows: list[Row], ready: Ready) -> str:
    questions, images = len(ready.held_out.questions), len(ready.images.vectors)
    lines = [as_markdown(rows, questions, images), ""]
    for name, place in (("sum", 2), ("stage 1", 5)):
        test = compared(rows[place], rows[-1])
        lines.append(
            f"R@1 of stage 2 minus {name}: {100 * test.difference:+.1f} points "
            f"({100 * test.low:+.1f} to {100 * test.high:+.1f}, p = {test.p_value:.3f}), "
            "both with weights chosen on dev."
        )
    return "\n".join(lines)


def _command(config: ComposeConfig, folder: Path) -> str:
    """The command in short; all settings are in `config`."""
    start = ["--from", Path(config.start).name] if config.start else []
    named = [word for path in config.triplets for word in ("--triplets", path.name)]
    model = ["--model", Path(config.model).name]
    return shlex.join(
        ["composir", "train", "compose", *start, *named, *model, "--out", folder.name]
    )


def _public(config: ComposeConfig) -> dict[str, Any]:
    """Settings without the paths of this machine."""
    paths = {"model": Path(config.model).name, "start": Path(config.start).name}
    hidden: dict[str, Any] = {"images": "", "cache": ""}
    hidden |= {name: [p.name for p in getattr(config, name)] for name in LISTS}
    return as_dict(config) | paths | hidden | {"text_only": Path(config.text_only).name}


def _shown(figures: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, int | float))
