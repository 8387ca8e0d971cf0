"""Stage 1 of Map-to-Compose as a recipe: pictures, features, training, a composer folder.

Pic2Word (`train.baselines.pic2word`) is the same recipe with a plain mapper and the image contrast
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from composir.compose.trained import ComposerManifest, Templates
from composir.errors import TrainingError
from composir.train.blend import BlendSettings
from composir.train.card import Card, write_composer
from composir.train.config import File, Files, Name, at_temperature
from composir.train.dev_set import DevSet
from composir.train.frozen import FrozenFoundation
from composir.train.loop import LoopConfig, LoopOptions
from composir.train.mapping.caption_bank import neutral_phrases
from composir.train.mapping.mapper import Mapper, MapperConfig, export_mapper
from composir.train.mapping.task import (
    DevCheck,
    MapBank,
    MapObjective,
    MappingTask,
    PhraseSentences,
    dev_check,
)
from composir.train.run import COMPOSER, QUERY_GRAPH, Log, Run, RunConfig, public_command
from composir.train.source_pictures import PictureSources, SourcePicture, licences, read_pictures
from composir.train.steering import PhraseSteering, read_phrases

ABOUT = (
    "Stage 1 of Map-to-Compose (arXiv 2504.17990): the reference's vector becomes a pseudo-word, "
    "into which cross-attention injects what the patches show. It is trained with image contrast, "
    "soft text alignment and neutral phrases beside the pseudo-word, without composed triplets."
)


class MapperRunConfig(RunConfig):
    """What every mapping is told.

    Attributes:
        sources: Pictures and captions.
        dev: Data set folders whose composed queries are printed at each evaluation and choose the
            blend in the end; what they ask about is left out of training.
        image_template: Sentence of a reference, with `{}`; empty for the bundle's.
        composed_template: Sentence of a query, with `{}` and `{text}`; empty for the bundle's.
        mapper: Sizes.
        options: Early stopping and the like.
        blend: Weights without dev queries: a pseudo-word from contrast says more as a direction
            than as a sentence.
    """

    sources: PictureSources = PictureSources()
    dev: Files = ()
    image_template: str = ""
    composed_template: str = ""
    mapper: MapperConfig = MapperConfig()
    options: LoopOptions = LoopOptions()
    blend: BlendSettings = BlendSettings(sentence=0.0, direction=1.5, image=1.0)


class MapConfig(MapperRunConfig):
    """Everything that changes the outcome, beside what every mapping is told.

    Attributes:
        objective: Losses and batches.
        phrases: Own list of phrases beside the pseudo-word (`steering.read_phrases`), not the bank
            that stands in for captions; empty for the packaged one.
    """

    name: Name = "map"
    objective: MapObjective = MapObjective()
    phrases: File = Path()
    loop: LoopConfig = LoopConfig(
        steps=600, warmup=30, average=0.98, evaluate_every=100, checkpoint_every=50
    )


def train_map(
    config: MapConfig, folder: Path, log: Log, *, verb: str = "map", about: str = ABOUT
) -> ComposerManifest:
    """Train a mapper and write its composer."""
    steers = config.objective.steering.phrase_weight > 0
    phrases = read_phrases(config.phrases) if steers else None
    run = Run.begin(config, folder, log)
    foundation = run.foundation
    objective = at_temperature(config.objective, foundation.temperature)
    dev = run.dev_sets(config.dev)
    held_out = {file for one in dev for file in one.asked_about}
    pictures = read_pictures(config.sources, held_out, run.log)
    bank = _bank(config, run, pictures)
    words = _texts(pictures) if objective.alignment else neutral_phrases()
    mapper = Mapper.of(foundation, config.mapper, words, bank.patch_width)
    templates = chosen_templates(foundation, config)
    checks = dev_checks(run, config, dev, templates)
    steered = None
    if phrases is not None:
        vectors = foundation.encode_texts(phrases.texts)
        steering = PhraseSteering(phrases, vectors, objective.steering)
        steered = PhraseSentences(steering, templates.composed)
    task = MappingTask(foundation, mapper, bank, objective, config.seed, checks, steered)
    figures = run.train(task, config.options)
    return finish(
        run,
        config,
        mapper,
        templates,
        dev,
        about,
        verb=verb,
        images=config.sources.images,
        figures=figures,
        sources=licences(pictures, config.sources.images),
        use="training: pictures" + (" and texts" if config.objective.alignment else ""),
    )


def chosen_templates(foundation: FrozenFoundation, config: MapperRunConfig) -> Templates:
    """Sentences of a configuration, or where they are empty those of the bundle."""
    own, usual = foundation.templates, Templates()
    image, composed = config.image_template, config.composed_template
    try:
        return Templates(
            image=image or own.get("pseudo_word", usual.image),
            composed=composed or own.get("composed", usual.composed),
        )
    except ValueError as error:
        raise TrainingError(f"templates {image!r}, {composed!r}: {error}") from error


def dev_checks(
    run: Run, config: MapperRunConfig, dev: Sequence[DevSet], templates: Templates
) -> list[DevCheck]:
    """Figures of a mapper on dev sets, see `dev_check`."""
    checks = []
    for one in dev:
        patches = None
        if config.mapper.injection_layers:
            found = run.features(one.files, f"patches of {one.name}", spatial=True)
            if found.failures:
                file, reason = found.failures[0]
                raise TrainingError(f"the dev picture {file} cannot be read: {reason}")
            patches = np.asarray(found.patch_tokens, dtype=np.float32)
        texts = run.foundation.model.texts
        checks.append(dev_check(one, patches, templates, config.blend, texts))
    return checks


def finish(
    run: Run,
    config: MapperRunConfig,
    mapper: Mapper,
    templates: Templates,
    dev: Sequence[DevSet],
    about: str,
    *,
    verb: str,
    images: Sequence[str] = (),
    figures: Mapping[str, float],
    sources: Mapping[str, str],
    use: str,
) -> ComposerManifest:
    """Export a mapper, describe it, choose its blend."""
    composer = run.folder / COMPOSER
    named = {"model": [config.model], "data": config.sources.data, "images": images}
    command = public_command(verb, {**named, "dev": config.dev, "out": [run.folder.name]})
    parity = export_mapper(mapper.cpu().eval(), run.foundation, composer / QUERY_GRAPH)
    fields = run.composer(composer, command, figures, sources, use, parity=parity)
    fields |= {
        "kind": "pseudo_word",
        "input": "patch_tokens" if mapper.injections else "vector",
        "tokens": mapper.config.tokens,
        "templates": templates,
        "settings": dict(config.blend),
    }
    write_composer(composer, fields, Card(about))
    made = run.choose_blend(composer, dev)
    run.log(f"wrote {composer}")
    return made


def _bank(config: MapConfig, run: Run, pictures: Sequence[SourcePicture]) -> MapBank:
    injects, foundation = config.mapper.injection_layers > 0, run.foundation
    features = run.features([picture.file for picture in pictures], "features", spatial=injects)
    kept = [pictures[int(row)] for row in features.kept]
    texts = _texts(kept) if config.objective.alignment else []
    known = {text: place for place, text in enumerate(texts)}
    split = np.array([picture.split for picture in kept])
    return MapBank(
        vectors=torch.from_numpy(features.vectors).to(foundation.device),
        patch_tokens=features.patch_tokens if injects else None,
        train=np.flatnonzero(split == "train"),
        dev=np.flatnonzero(split == "dev"),
        texts=torch.from_numpy(run.encoded_texts(texts)).to(foundation.device),
        own=[[known[text] for text in picture.texts if text in known] for picture in kept],
    )


def _texts(pictures: Sequence[SourcePicture]) -> list[str]:
    """Texts of the training pictures, then the neutral phrases; each once."""
    own = [text for p in pictures if p.split == "train" for text in p.texts]
    return list(dict.fromkeys([*own, *neutral_phrases()]))
