"""Stage 2 from trained composers and triplets to new composer folders.

Any composer can be a start, a mapper or ISA: its query graph is kept, its text encoder gets
adapters (Map-to-Compose, arXiv 2504.17990). Several starts share one adapted text encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from composir.compose.trained import ComposerFolder, ComposerManifest
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.anchors import anchor_texts
from composir.train.composing.config import ComposeConfig
from composir.train.composing.data import (
    Say,
    Side,
    encode_images,
    limited,
    make_part,
    make_questions,
    open_starts,
    readable,
)
from composir.train.composing.finish import (
    Ready,
    composer_names,
    shown,
    write_composers,
)
from composir.train.composing.own_data import TripletData, read_all, split_triplets
from composir.train.composing.task import WATCHED, ComposingTask
from composir.train.frozen import FrozenFoundation
from composir.train.loop import LoopOptions, train
from composir.train.run_folder import LEFT_OUT, claim

STAGE = "stage2"


def train_composing(config: ComposeConfig, folder: Path, say: Say) -> ComposerManifest:
    """Train stage 2 and write a composer for each start.

    Args:
        config: What to do.
        folder: Run folder: gets `config.json`, `stage2/`, `composer/` and `before_after.json` of
            the first start, `composer-NAME/` and `before_after-NAME.json` of others, and
            `left_out.txt` with the rows that could not be used.
        say: Takes lines of progress.

    Returns:
        The manifest of `folder/composer`.

    Raises:
        TrainingError: If the folder holds another run, there is no first stage, two starts have
            the same name, or there are fewer triplets than a batch.
        ModelError: If a first stage is of another model.
        DatasetError: If the triplets are at fault.
    """
    foundation = FrozenFoundation.load(config.model)
    starts = open_starts(config.start, foundation.model)
    composer_names(config.name, starts)
    claim(folder, config)
    ready = _prepare(config, folder, foundation, starts, say)
    torch.manual_seed(config.seed)
    tower = AdaptedTower(foundation.text, config.adapters)
    say(f"{tower.parameter_count():,} trained parameters ({config.adapters.kind})")
    figures = _train(config, folder / STAGE, tower, ready, say)
    return write_composers(config, folder, tower, ready, figures, say)


def _prepare(
    config: ComposeConfig,
    folder: Path,
    foundation: FrozenFoundation,
    starts: Sequence[ComposerFolder],
    say: Say,
) -> Ready:
    data = _read(config, folder, say)
    files = tuple(dict.fromkeys([*data.gallery, *(f for t in data.triplets for f in t.images)]))
    references = frozenset(t.reference for t in data.triplets)
    model = foundation.model
    images = encode_images(config.cache, files, references, starts, model, say)
    usable = readable(data.triplets, images)
    if len(usable) < len(data.triplets):
        lost = len(data.triplets) - len(usable)
        say(f"{lost:,} triplets are left out because their images cannot be read")
    split = limited(split_triplets(usable, config.dev, config.held_out), config.max_triplets)
    say(
        f"{len(split.train):,} triplets to train on, {len(split.dev):,} dev, "
        f"{len(split.held_out):,} held out; {split.dropped:,} left out as ways back of those"
    )
    asked = [make_questions(part, images, model) for part in split.parts]
    sides = tuple(
        Side(start, *(make_part(questions, made, start, model) for questions in asked))
        for start, made in zip(starts, images.references, strict=True)
    )
    kept = tuple(sorted(images.row_of, key=lambda file: images.row_of[file]))
    return Ready(foundation, images.vectors, kept, sides)


def _read(config: ComposeConfig, folder: Path, say: Say) -> TripletData:
    """The triplets; those that cannot be used are listed in the run folder."""
    below = Path(config.images).expanduser() if config.images else None
    data = read_all(config.triplets, below, config.max_bad)
    say(data.summary())
    left_out = "".join(f"{problem.where}: {problem.reason}\n" for problem in data.problems)
    (folder / LEFT_OUT).write_text(left_out, encoding="utf-8")
    return data


def _train(
    config: ComposeConfig, folder: Path, tower: AdaptedTower, ready: Ready, say: Say
) -> dict[str, float]:
    """Train the adapters; figures of the weights that did best on the dev triplets."""
    if not ready.train_count:
        say("no training triplets: the adapters stay at zero, which is stage 1")
        return {}
    task = ComposingTask(
        ready.foundation,
        tower,
        ready.images,
        {side.start.manifest.name: (side.train, side.dev) for side in ready.sides},
        anchor_texts(config.captions) or ready.sides[0].train.questions.texts,
        (config.composing, config.mining),
        config.seed,
    )
    before = task.evaluate()
    say(f"stage 1: {shown(before)}")
    options = LoopOptions(watch=WATCHED, patience=config.patience)
    after = train(task, config.loop, folder, config.seed, lambda r: say(shown(r)), options)
    if after[WATCHED] <= before[WATCHED]:
        say("training did not help on the dev triplets: the adapters go back to zero (stage 1)")
        tower.reset()
        return before
    return after
