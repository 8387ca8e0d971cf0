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
from composir.encode.texts import encode_texts
from composir.errors import TrainingError
from composir.train.blend import BlendSettings
from composir.train.card import Card, write_composer
from composir.train.config import File, Files, Name
from composir.train.dev_set import DevSet
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import feature_store
from composir.train.loop import LoopConfig, LoopOptions
from composir.train.mapping.caption_bank import neutral_phrases
from composir.train.mapping.dev_check import DevCheck, dev_check
from composir.train.mapping.mapper import Mapper, MapperConfig, export_mapper
from composir.train.mapping.task import MapBank, MapObjective, MappingTask, PhraseSentences
from composir.train.run import COMPOSER, QUERY_GRAPH, Log, Run, RunConfig, public_command
from composir.train.source_pictures import PictureSources, SourcePicture, licences, read_pictures
from composir.train.steering.phrase_list import read_phrases
from composir.train.steering.targets import PhraseSteering
from composir.train.temperatures import at_temperature

ABOUT = (
    "Stage 1 of Map-to-Compose (arXiv 2504.17990): the reference's vector becomes a pseudo-word, "
    "into which cross-attention injects what the patches show. It is trained with image contrast, "
    "soft text alignment and neutral phrases beside the pseudo-word, without composed triplets."
)


def map_blend() -> BlendSettings:
    """What suits a pseudo-word from contrast: it says more as a direction than as a sentence."""
    return BlendSettings(sentence=0.0, direction=1.5, image=1.0)


class MapConfig(RunConfig):
    """Everything that changes the outcome, beside what every recipe is told.

    Attributes:
        sources: Pictures and captions.
        dev: Data set folders whose composed queries are printed at each evaluation and choose the
            blend in the end; what they ask about is left out of training.
        image_template: Sentence of a reference, with `{}`; empty for the bundle's.
        composed_template: Sentence of a query, with `{}` and `{text}`; empty for the bundle's.
        mapper: Sizes.
        objective: Losses and batches.
        phrases: Own list of phrases beside the pseudo-word (`steering.phrase_list`), not the bank
            that stands in for captions; empty for the packaged one.
        options: Early stopping and the like.
        blend: Weights without dev queries.
    """

    sources: PictureSources = PictureSources()
    dev: Files = ()
    name: Name = "map"
    image_template: str = ""
    composed_template: str = ""
    mapper: MapperConfig = MapperConfig()
    objective: MapObjective = MapObjective()
    phrases: File = Path()
    loop: LoopConfig = LoopConfig(
        steps=600, warmup=30, average=0.98, evaluate_every=100, checkpoint_every=50
    )
    options: LoopOptions = LoopOptions()
    blend: BlendSettings = map_blend()


def train_map(
    config: MapConfig, folder: Path, log: Log, *, verb: str = "map", about: str = ABOUT
) -> ComposerManifest:
    """Train a mapper and write its composer."""
    steers = config.objective.steering.phrase_weight > 0
    phrases = read_phrases(config.phrases) if steers else None
    run = Run.begin(config, folder, log)
    foundation, injects = run.foundation, config.mapper.injection_layers > 0
    objective = at_temperature(config.objective, foundation.temperature)
    dev = run.dev_sets(config.dev)
    held_out = {file for one in dev for file in one.asked_about}
    pictures = read_pictures(config.sources, held_out, run.log)
    bank = _bank(config, run, pictures)
    words = _texts(pictures) if objective.alignment else neutral_phrases()
    mapper = Mapper.of(foundation, config.mapper, words, bank.patch_width)
    templates = chosen_templates(foundation, config.image_template, config.composed_template)
    checks = dev_checks(run, dev, templates, config.blend, spatial=injects)
    steered = None
    if phrases is not None:
        vectors = foundation.encode_texts(phrases.texts)
        steering = PhraseSteering(phrases, vectors, objective.steering)
        steered = PhraseSentences(steering, templates.composed)
    task = MappingTask(foundation, mapper, bank, objective, config.seed, checks, steered)
    figures = run.train(task, config.options)
    named = {
        "model": [config.model],
        "data": config.sources.data,
        "images": config.sources.images,
        "dev": config.dev,
        "out": [folder.name],
    }
    return finish(
        run,
        mapper,
        templates,
        config.blend,
        dev,
        Card(about),
        command=public_command(verb, named),
        figures=figures,
        sources=licences(pictures, config.sources.images),
        use="training: pictures" + (" and texts" if config.objective.alignment else ""),
    )


def chosen_templates(foundation: FrozenFoundation, image: str, composed: str) -> Templates:
    """Sentences of a configuration, or where they are empty those of the bundle."""
    own = foundation.templates
    usual = Templates()
    try:
        return Templates(
            image=image or own.get("pseudo_word", usual.image),
            composed=composed or own.get("composed", usual.composed),
        )
    except ValueError as error:
        raise TrainingError(f"templates {image!r}, {composed!r}: {error}") from error


def dev_checks(
    run: Run, dev: Sequence[DevSet], templates: Templates, blend: BlendSettings, *, spatial: bool
) -> list[DevCheck]:
    """Figures of a mapper on dev sets, see `dev_check`."""
    checks = []
    for one in dev:
        patches = None
        if spatial:
            found = run.features(one.files, f"patches of {one.name}", spatial=True)
            if found.failures:
                file, reason = found.failures[0]
                raise TrainingError(f"the dev picture {file} cannot be read: {reason}")
            patches = np.asarray(found.patch_tokens, dtype=np.float32)
        checks.append(dev_check(one, patches, templates, blend, run.foundation.model.texts))
    return checks


def finish(
    run: Run,
    mapper: Mapper,
    templates: Templates,
    blend: BlendSettings,
    dev: Sequence[DevSet],
    card: Card,
    *,
    command: str,
    figures: Mapping[str, float],
    sources: Mapping[str, str],
    use: str,
) -> ComposerManifest:
    """Export a mapper, describe it, choose its blend."""
    composer = run.folder / COMPOSER
    parity = export_mapper(mapper.cpu().eval(), run.foundation, composer / QUERY_GRAPH)
    fields = run.composer(composer, command, figures, sources, use, parity=parity)
    fields |= {
        "kind": "pseudo_word",
        "input": "patch_tokens" if mapper.injections else "vector",
        "tokens": mapper.config.tokens,
        "templates": templates,
        "settings": dict(blend),
    }
    write_composer(composer, fields, card)
    made = run.choose_blend(composer, dev)
    run.log(f"wrote {composer}")
    return made


def _bank(config: MapConfig, run: Run, pictures: Sequence[SourcePicture]) -> MapBank:
    injects, foundation = config.mapper.injection_layers > 0, run.foundation
    features = run.features([picture.file for picture in pictures], "features", spatial=injects)
    kept = [pictures[int(row)] for row in features.kept]
    texts = _texts(kept) if config.objective.alignment else []
    known = {text: place for place, text in enumerate(texts)}
    vectors = np.zeros((0, foundation.dimension), dtype=np.float32)
    if texts:
        store, progress = feature_store(config.cache), run.progress("texts")
        vectors = encode_texts(texts, foundation.model, store, progress=progress)
    split = np.array([picture.split for picture in kept])
    return MapBank(
        vectors=torch.from_numpy(features.vectors).to(foundation.device),
        patch_tokens=features.patch_tokens if injects else None,
        train=np.flatnonzero(split == "train"),
        dev=np.flatnonzero(split == "dev"),
        texts=torch.from_numpy(vectors).to(foundation.device),
        own=[[known[text] for text in picture.texts if text in known] for picture in kept],
    )


def _texts(pictures: Sequence[SourcePicture]) -> list[str]:
    """Texts of the training pictures, then the neutral phrases; each once."""
    own = [text for p in pictures if p.split == "train" for text in p.texts]
    return list(dict.fromkeys([*own, *neutral_phrases()]))
