"""Mapping learnt from texts alone: the idea of LinCIR (Gu et al. 2024, arXiv 2312.01998).

A caption's vector plus noise is mapped to a pseudo-word, and the caption with its content words
replaced by that pseudo-word must mean what the caption meant. No picture is needed; at query time
the mapper takes a picture's vector instead of a caption's, which the noise prepares it for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from composir.compose.trained import ComposerManifest
from composir.data.untrusted_json import read_lines
from composir.encode.texts import encode_texts
from composir.errors import TrainingError
from composir.train.baselines.text_map_task import Caption, TextMapTask, TextObjective, gapped
from composir.train.blend import BlendSettings
from composir.train.card import Card
from composir.train.config import Files, Name
from composir.train.gallery_features import feature_store
from composir.train.loop import LoopConfig, LoopOptions
from composir.train.mapping.caption_bank import neutral_phrases
from composir.train.mapping.mapper import Mapper, MapperConfig
from composir.train.mapping.recipe import chosen_templates, dev_checks, finish, map_blend
from composir.train.run import Log, Run, RunConfig, public_command
from composir.train.source_pictures import NOT_STATED, PictureSources, read_pictures

PRESET = ("mapper.injection_layers=0",)
"""Injection is off whatever a file of settings says of the mapper's other sizes."""
ABOUT = (
    "Text-only mapping, the idea of LinCIR (arXiv 2312.01998): an MLP maps a vector to one "
    "pseudo-word. It was trained from captions plus noise back to the captions' content, without "
    "any picture."
)


class TextMapConfig(RunConfig):
    """Everything that changes the outcome, beside what every recipe is told.

    Attributes:
        sources: Whose captions; the pictures themselves are not opened.
        texts: Plain text files, one caption a line.
        dev: As in `MapConfig`.
        image_template: As in `MapConfig`.
        composed_template: As in `MapConfig`.
        mapper: Sizes; without injection.
        objective: Loss and batches.
        options: Early stopping and the like.
        blend: Weights without dev queries.
    """

    sources: PictureSources = PictureSources()
    texts: Files = ()
    dev: Files = ()
    name: Name = "text-map"
    image_template: str = ""
    composed_template: str = ""
    mapper: MapperConfig = MapperConfig(injection_layers=0)
    objective: TextObjective = TextObjective()
    loop: LoopConfig = LoopConfig(
        steps=300, warmup=30, average=0.98, evaluate_every=100, checkpoint_every=50
    )
    options: LoopOptions = LoopOptions()
    blend: BlendSettings = map_blend()


def train_text_map(config: TextMapConfig, folder: Path, log: Log) -> ComposerManifest:
    """Train the mapper on captions and write its composer."""
    if config.mapper.injection_layers:
        raise TrainingError("text-only mapping sees no patches: set mapper.injection_layers=0")
    run = Run.begin(config, folder, log)
    foundation = run.foundation
    dev = run.dev_sets(config.dev)
    held_out = {file for one in dev for file in one.asked_about}
    texts, dev_texts, sources = _read_texts(config, held_out, run.log)
    captions = gapped(foundation, texts), gapped(foundation, dev_texts)
    run.log(f"{len(captions[0]):,} captions to train on, {len(captions[1]):,} for figures")
    vectors = _vectors(run, captions[0]), _vectors(run, captions[1])
    mapper = Mapper.of(foundation, config.mapper, texts, ignored=foundation.appearance_width)
    templates = chosen_templates(foundation, config.image_template, config.composed_template)
    checks = dev_checks(run, dev, templates, config.blend, spatial=False)
    task = TextMapTask(foundation, mapper, captions, vectors, config.objective, config.seed, checks)
    figures = run.train(task, config.options)
    named = {
        "model": [config.model],
        "data": config.sources.data,
        "dev": config.dev,
        "out": [folder.name],
    }
    return finish(
        run,
        mapper,
        templates,
        config.blend,
        dev,
        Card(ABOUT),
        command=public_command("baseline text-map", named),
        figures=figures,
        sources=sources,
        use="training: texts alone",
    )


def _read_texts(
    config: TextMapConfig, held_out: set[Path], log: Log
) -> tuple[list[str], list[str], dict[str, str]]:
    """Training texts, dev texts, and licences by where they come from."""
    parts: dict[str, list[str]] = {"train": [], "dev": []}
    sources: dict[str, str] = {}
    if config.sources.data or config.sources.images:
        for picture in read_pictures(config.sources, held_out, log):
            parts[picture.split] += picture.texts
            if picture.split == "train" and picture.texts:
                sources[picture.source] = picture.licence
    for path in config.texts:
        parts["train"] += _lines(path)
        sources[path.name] = NOT_STATED
    if not parts["train"]:
        raise TrainingError("no captions: name data sets that have some, or text files with texts")
    texts = list(dict.fromkeys([*parts["train"], *neutral_phrases()]))
    return texts, list(dict.fromkeys(parts["dev"])), sources


def _lines(path: Path) -> list[str]:
    return [line.strip() for _, line in read_lines(path, TrainingError)]


def _vectors(run: Run, captions: Sequence[Caption]) -> Tensor:
    foundation = run.foundation
    if not captions:
        return torch.zeros(0, foundation.dimension, device=foundation.device)
    texts = [caption.text for caption in captions]
    store, progress = feature_store(run.config.cache), run.progress("texts")
    found = encode_texts(texts, foundation.model, store, progress=progress)
    return torch.from_numpy(found).to(foundation.device)
