"""Everything that does not change while adapters are trained, from the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from composir.compose.trained import ComposerFolder
from composir.data.problems import Problem
from composir.train.composing.compose_config import ComposeConfig
from composir.train.composing.data import (
    FrozenInputs,
    QueryVariant,
    encode_references,
    freeze_triplets,
    index_triplets,
    limited,
    readable,
)
from composir.train.composing.text_inputs import freeze_texts
from composir.train.composing.text_rows import read_text_triplets
from composir.train.composing.triplet_files import TripletData, read_all
from composir.train.composing.triplet_split import split_triplets
from composir.train.run import Run
from composir.train.run_folder import LEFT_OUT


def freeze_inputs(
    config: ComposeConfig, run: Run, starts: Sequence[ComposerFolder]
) -> FrozenInputs:
    """Read triplets of pictures, of texts, or of both, and encode what is frozen about them.

    What cannot be used is listed in the run folder.
    """
    problems: list[Problem] = []
    data = texts = None
    if config.triplets:
        below = Path(config.images).expanduser() if config.images else None
        data = read_all(config.triplets, below, config.max_bad)
        run.log(data.summary())
        problems += data.problems
    if config.text_triplets:
        texts = read_text_triplets(config.text_triplets, config.max_bad)
        run.log(texts.summary())
        problems += texts.problems
    left_out = "".join(f"{problem.where}: {problem.reason}\n" for problem in problems)
    (run.folder / LEFT_OUT).write_text(left_out, encoding="utf-8")
    inputs = FrozenInputs(run.foundation, tuple(starts))
    if data is not None:
        inputs = _with_pictures(config, run, inputs, data)
    if texts is not None:
        pictures = inputs.images if inputs.files else None
        made = freeze_texts(config, run, starts, texts.triplets, pictures)
        inputs = replace(inputs, texts=made)
    return inputs


def _with_pictures(
    config: ComposeConfig, run: Run, inputs: FrozenInputs, data: TripletData
) -> FrozenInputs:
    starts, model = inputs.starts, run.foundation.model
    files = tuple(dict.fromkeys([*data.gallery, *(f for t in data.triplets for f in t.images)]))
    references = frozenset(t.reference for t in data.triplets)
    spatial = any(start.manifest.input == "patch_tokens" for start in starts)
    features = run.features(files, "images", spatial=spatial)
    images = encode_references(files, references, starts, features)
    usable = readable(data.triplets, images)
    if len(usable) < len(data.triplets):
        lost = len(data.triplets) - len(usable)
        run.log(f"{lost:,} triplets are left out because their images cannot be read")
    split = limited(split_triplets(usable, config.dev, config.held_out), config.max_triplets)
    run.log(
        f"{len(split.train):,} triplets to train on, {len(split.dev):,} dev, "
        f"{len(split.held_out):,} held out; {split.dropped:,} left out as ways back of those"
    )
    parts = [index_triplets(part, images, model) for part in split.parts]
    variants = tuple(
        QueryVariant(start, *(freeze_triplets(part, made, start, model) for part in parts))
        for start, made in zip(starts, images.references, strict=True)
    )
    kept = tuple(sorted(images.row_of, key=lambda file: images.row_of[file]))
    return replace(inputs, images=images.vectors, files=kept, variants=variants)
