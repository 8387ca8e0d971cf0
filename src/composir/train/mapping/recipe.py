"""Stage 1 of Map-to-Compose as a recipe: pictures, features, training, a composer folder.

Pic2Word (`train.baselines.pic2word`) is the same recipe with a plain mapper and the image contrast
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from composir.compose.blend import BlendWeights
from composir.compose.query_side import Tokens
from composir.compose.trained import ComposerManifest, Templates
from composir.data.problems import log_skipped
from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.encode.texts import encode_texts
from composir.errors import TrainingError
from composir.model.catalogue import DEFAULT_MODEL
from composir.train.blend import BlendSettings
from composir.train.config import File, Files, Name, Seed, Settings, as_dict
from composir.train.dev_set import DevSet, dev_score, open_dev_set, terms_of
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import (
    GalleryFeatures,
    feature_store,
    gallery_features,
)
from composir.train.loop import LoopConfig, LoopOptions, train
from composir.train.mapping.finish import (
    MappedRun,
    finish,
    public_command,
    public_config,
)
from composir.train.mapping.mapper import Mapper, MapperConfig
from composir.train.mapping.phrases import neutral_phrases
from composir.train.mapping.task import (
    DevCheck,
    MapBank,
    MapObjective,
    MappingTask,
    Steered,
)
from composir.train.pictures import MapPicture, PictureSources, read_pictures
from composir.train.run_folder import MODEL, claim
from composir.train.steering.phrases import read_phrases
from composir.train.steering.targets import Steering
from composir.types import FloatArray

Say: TypeAlias = Callable[[str], None]
ABOUT = (
    "Stage 1 of Map-to-Compose (arXiv 2504.17990): the reference's vector becomes a pseudo-word, "
    "into which cross-attention injects what the patches show. It is trained with image contrast, "
    "soft text alignment and neutral phrases beside the pseudo-word, without composed triplets."
)


def map_blend() -> BlendSettings:
    """What suits a pseudo-word from contrast: it says more as a direction than as a sentence."""
    return BlendSettings(sentence=0.0, direction=1.5, image=1.0)


class MapConfig(Settings):
    """Everything that changes the outcome.

    Attributes:
        model: The foundation model: a name or a bundle's folder.
        sources: Pictures and captions.
        dev: Data set folders whose composed queries are printed at each evaluation and choose the
            blend in the end; what they ask about is left out of training.
        cache: Folder of cached features.
        name: Of the composer.
        image_template: Sentence of a reference, with `{}`; empty for the bundle's.
        composed_template: Sentence of a query, with `{}` and `{text}`; empty for the bundle's.
        mapper: Sizes.
        objective: Losses and batches.
        phrases: Own list of phrases beside the pseudo-word (`steering.phrases`), not the bank that
            stands in for captions; empty for the packaged one.
        loop: Steps.
        options: Early stopping and the like.
        blend: Weights without dev queries.
        seed: Of everything random.
    """

    model: str = DEFAULT_MODEL
    sources: PictureSources = PictureSources()
    dev: Files = ()
    cache: File = Path(".cache/features")
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
    seed: Seed = 0


def train_map(
    config: MapConfig, folder: Path, say: Say, *, verb: str = "map", about: str = ABOUT
) -> ComposerManifest:
    """Train a mapper and write its composer.

    Args:
        config: What to do.
        folder: Run folder: `config.json`, `checkpoint.pt`, `metrics.jsonl`, `composer/`.
        say: Takes lines of progress.
        verb: What of `composir train` this is, for the card.
        about: What the composer is, for the card.

    Returns:
        The composer's manifest.

    Raises:
        TrainingError: If there are no pictures, too few, or the folder holds another run.
        DatasetError: If a data set is at fault.
        BundleError: If the model cannot be loaded.
        ModelError: If injection is asked for and the model gives no patch tokens.
    """
    steers = config.objective.steering.phrase_weight > 0
    phrases = read_phrases(config.phrases) if steers else None
    claim(folder, config)
    torch.manual_seed(config.seed)
    foundation = FrozenFoundation.load(config.model, device())
    bind_model(folder, foundation)
    dev = open_dev_sets(config.dev, foundation, config.cache, say)
    held_out = {file for one in dev for file in one.asked_about}
    pictures = read_pictures(config.sources, held_out, say)
    bank = _bank(config, foundation, pictures, say)
    mapper = new_mapper(foundation, config.mapper, bank)
    templates = chosen_templates(foundation, config.image_template, config.composed_template)
    checks = _dev_checks(config, foundation, dev, templates, say)
    steered = None
    if phrases is not None:
        steering = Steering(
            phrases, foundation.encode_texts(phrases.texts), config.objective.steering
        )
        steered = Steered(steering, templates.composed)
    task = MappingTask(foundation, mapper, bank, config.objective, config.seed, checks, steered)
    figures = train(
        task, config.loop, folder, config.seed, lambda record: say(line(record)), config.options
    )
    sources = {one.source: one.licence for one in pictures if one.split == "train"}
    run = _described(config, folder, (verb, about), templates, figures, sources)
    manifest = finish(run, foundation, mapper, folder / "composer", dev)
    say(f"wrote {folder / 'composer'}")
    return manifest


def bind_model(folder: Path, foundation: FrozenFoundation) -> None:
    """Refuse to go on with a run that was started on another model of the same name.

    Raises:
        TrainingError: If the run folder's checkpoint belongs to another model.
    """
    path = folder / MODEL
    model = foundation.model
    own = f"{model.name} {model.fingerprint} {model.text_checksum}\n"
    if not path.exists():
        path.write_text(own, encoding="utf-8")
        return
    known = read_text(path, TrainingError, limit=MANIFEST_LIMIT)
    if known != own:
        raise TrainingError(
            f"{folder} holds a run on another model ({known.strip()[:200]}), "
            f"this one is {own.strip()}: choose another --out"
        )


def open_dev_sets(
    folders: Sequence[Path], foundation: FrozenFoundation, cache: Path, say: Say
) -> list[DevSet]:
    """Open dev folders; says what is encoded.

    Raises:
        DatasetError: If a folder is at fault.
        TrainingError: If one has no composed query.
    """
    return [
        open_dev_set(folder, foundation.model, cache, tenths(f"dev {folder.name}", say))
        for folder in folders
    ]


def chosen_templates(foundation: FrozenFoundation, image: str, composed: str) -> Templates:
    """Sentences of a configuration, or where they are empty those of the bundle.

    Raises:
        TrainingError: If a place is missing in them.
    """
    own = foundation.templates
    usual = Templates()
    try:
        return Templates(
            image=image or own.get("pseudo_word", usual.image),
            composed=composed or own.get("composed", usual.composed),
        )
    except ValueError as error:
        raise TrainingError(f"templates {image!r}, {composed!r}: {error}") from error


def new_mapper(foundation: FrozenFoundation, config: MapperConfig, bank: MapBank) -> Mapper:
    """A mapper with random weights, for a foundation's vectors, words and patches."""
    width = None if bank.patch_tokens is None else int(bank.patch_tokens.shape[-1])
    statistics = foundation.word_statistics
    return Mapper(foundation.dimension, statistics, width, config).to(foundation.device)


def dev_tokens(mapper: Mapper, vectors: FloatArray, patches: FloatArray | None) -> FloatArray:
    """Pseudo-words (m, L, Dw) of dev references; the mapper is in evaluation mode."""
    device = mapper.word_like.mean.device
    seen = None if patches is None else torch.from_numpy(patches).to(device)
    tokens, _ = mapper(torch.from_numpy(vectors).to(device), seen)
    result: FloatArray = tokens.cpu().numpy()
    return result


def dev_check(
    foundation: FrozenFoundation,
    dev: DevSet,
    patches: FloatArray | None,
    templates: Templates,
    settings: BlendSettings,
) -> DevCheck:
    """Composed recall@10 of a dev set: of the sentence alone, and of the blend without choice."""
    blends = {
        "sentence": BlendWeights(),
        "blend": BlendWeights(**dict(settings)),
    }

    def check(mapper: Mapper) -> Mapping[str, float]:
        tokens = dev_tokens(mapper, dev.vectors, patches)
        terms = terms_of(dev, Tokens(tokens), templates, foundation.model.texts)
        return {
            f"{dev.name}/{name}/recall@10": dev_score(dev, terms, weights)
            for name, weights in blends.items()
        }

    return check


def _described(
    config: MapConfig,
    folder: Path,
    told: tuple[str, str],
    templates: Templates,
    figures: Mapping[str, float],
    sources: Mapping[str, str],
) -> MappedRun:
    verb, about = told
    named = {
        "model": [config.model],
        "data": map(str, config.sources.data),
        "images": config.sources.images,
        "dev": map(str, config.dev),
        "out": [folder.name],
    }
    return MappedRun(
        name=config.name,
        about=about,
        command=public_command(verb, named),
        config=public_config(as_dict(config)),
        seed=config.seed,
        figures=figures,
        templates=templates,
        blend=dict(config.blend),
        sources=sources,
        use="training: pictures" + (" and texts" if config.objective.alignment else ""),
    )


def _dev_checks(
    config: MapConfig,
    foundation: FrozenFoundation,
    dev: Sequence[DevSet],
    templates: Templates,
    say: Say,
) -> list[DevCheck]:
    return [
        dev_check(
            foundation, one, _dev_patches(config, foundation, one, say), templates, config.blend
        )
        for one in dev
    ]


def _dev_patches(
    config: MapConfig, foundation: FrozenFoundation, dev: DevSet, say: Say
) -> FloatArray | None:
    if not config.mapper.injection_layers:
        return None
    progress = tenths(f"patches of {dev.name}", say)
    found = gallery_features(config.cache, dev.files, foundation.model, progress)
    if found.failures:
        file, reason = found.failures[0]
        raise TrainingError(f"the dev picture {file} cannot be read: {reason}")
    return np.asarray(found.patch_tokens, dtype=np.float32)


def _bank(
    config: MapConfig, foundation: FrozenFoundation, pictures: Sequence[MapPicture], say: Say
) -> MapBank:
    features = _features(config, foundation, pictures, say)
    kept = [pictures[int(row)] for row in features.kept]
    texts = _texts(kept) if config.objective.alignment else []
    known = {text: place for place, text in enumerate(texts)}
    vectors = np.zeros((0, foundation.dimension), dtype=np.float32)
    if texts:
        progress = tenths("texts", say)
        vectors = encode_texts(
            texts, foundation.model, feature_store(config.cache), progress=progress
        )
    split = np.array([picture.split for picture in kept])
    return MapBank(
        vectors=torch.from_numpy(features.vectors).to(foundation.device),
        patch_tokens=features.patch_tokens if config.mapper.injection_layers else None,
        train=np.flatnonzero(split == "train"),
        dev=np.flatnonzero(split == "dev"),
        texts=torch.from_numpy(vectors).to(foundation.device),
        own=[[known[text] for text in picture.texts if text in known] for picture in kept],
    )


def _features(
    config: MapConfig, foundation: FrozenFoundation, pictures: Sequence[MapPicture], say: Say
) -> GalleryFeatures:
    files = [picture.file for picture in pictures]
    spatial = config.mapper.injection_layers > 0
    progress = tenths("features", say)
    features = gallery_features(config.cache, files, foundation.model, progress, spatial=spatial)
    log_skipped(((getattr(file, "path", file), why) for file, why in features.failures), say)
    if features.failures:
        say(f"{len(features.failures):,} pictures cannot be read and are left out")
    return features


def _texts(pictures: Sequence[MapPicture]) -> list[str]:
    """Texts of the training pictures, then the neutral phrases; each once."""
    own = [text for p in pictures if p.split == "train" for text in p.texts]
    return list(dict.fromkeys([*own, *neutral_phrases()]))


def tenths(what: str, say: Say) -> Callable[[int, int], None]:
    """Progress that says a line every tenth of the way."""
    told = [0]

    def progress(done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > told[0]:
            told[0] = tenth
            say(f"{what}: {done:,} of {total:,}")

    return progress


def line(record: Mapping[str, object]) -> str:
    """A metrics record in one line."""
    shown = (
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in record.items()
    )
    return ", ".join(shown)


def device() -> str:
    """Where torch computes: on a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
