"""ISA as a recipe: pictures, cached features, training, a composer folder.

`side` chooses what the token learner reads: a light network's map (asymmetric, the paper's), or
the patch tokens of the gallery's encoder (symmetric). Everything else is the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import torch
from pydantic import model_validator

from composir.compose.trained import ComposerManifest
from composir.data.problems import log_skipped
from composir.errors import ModelError
from composir.model.catalogue import DEFAULT_MODEL
from composir.train.blend import BlendSettings, choose_blend
from composir.train.config import Between, Count, File, Files, Name, Seed, Settings, Texts
from composir.train.dev_set import open_dev_set
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import PictureFile, gallery_features
from composir.train.images import is_dev, told_training_images
from composir.train.isa.export import IsaRun, QueryParts, write_composer
from composir.train.isa.features import light_features
from composir.train.isa.light_encoder import (
    GALLERY,
    LightEncoder,
    LightEncoderConfig,
    PatchTokens,
    load_light_encoder,
)
from composir.train.isa.light_vector import LightVector, LightVectorConfig
from composir.train.isa.matching import load_matcher
from composir.train.isa.objective import ObjectiveConfig
from composir.train.isa.pictures import PictureBank, View
from composir.train.isa.task import IsaTask
from composir.train.isa.token_learner import TokenLearner, TokenLearnerConfig
from composir.train.loop import LoopConfig, LoopOptions, train
from composir.train.pictures import NOT_STATED, PictureSources, read_pictures
from composir.train.run_folder import claim
from composir.train.steering.phrases import read_phrases
from composir.train.workers import Workers, open_workers

Say: TypeAlias = Callable[[str], None]


class IsaConfig(Settings):
    """Everything that changes the outcome.

    Attributes:
        images: Folders, globs, tar shards or Parquet tables of unlabelled pictures.
        data: Data set folders, or folders of such; their training parts alone are trained on.
        dev: Data set folders whose composed queries choose the blend in the end; what they ask
            about is left out of training.
        model: The foundation model: a name or a bundle's folder.
        side: `asymmetric`, with a light network, or `symmetric`, on the gallery's patch tokens.
        light: The light network.
        token_learner: From its map to pseudo-words.
        light_vector: From its map to an estimate of the reference's gallery vector (asymmetric).
        objective: Losses, batches, templates.
        phrases: Own list of neutral phrases (`steering.phrases`); empty for the packaged one.
        views: Cached views of each picture; the first is plain, the others are augmented.
        teacher: Whose vectors are the targets of an augmented view: its own, or the plain one's.
        dev_share: Share of pictures kept for dev figures, by the hash of their names.
        dev_images: At most so many are evaluated.
        blend: Weights of a query where no `dev` chooses them.
        loop: Steps.
        options: Precision, early stopping, curves.
        cache: Folder of cached features.
        name: Of the composer.
        licence: Of the weights; empty for the model's.
        seed: Of everything random.
    """

    images: Texts = ()
    data: Files = ()
    dev: Files = ()
    model: str = DEFAULT_MODEL
    side: Literal["asymmetric", "symmetric"] = "asymmetric"
    light: LightEncoderConfig = LightEncoderConfig()
    token_learner: TokenLearnerConfig = TokenLearnerConfig()
    light_vector: LightVectorConfig = LightVectorConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    phrases: File = Path()
    views: Annotated[int, Between(1, 65_536)] = 1
    teacher: Literal["own", "plain"] = "own"
    dev_share: Annotated[float, Between(0.0, 0.99)] = 0.05
    dev_images: Count = 400
    blend: BlendSettings = BlendSettings(direction=0.5)
    loop: LoopConfig = LoopConfig(steps=500, warmup=25, evaluate_every=50)
    options: LoopOptions = LoopOptions()
    cache: File = Path(".cache/features")
    name: Name = "isa"
    licence: str = ""
    seed: Seed = 0

    @model_validator(mode="after")
    def _has_pictures(self) -> Self:
        if not self.images and not self.data:
            raise ValueError("no training images: name a folder with --images")
        return self

    @property
    def has_light_vector(self) -> bool:
        """Whether the query side estimates v: only where the gallery's encoder is not at hand."""
        return self.side == "asymmetric" and self.light_vector.weight > 0


def train_isa(config: IsaConfig, folder: Path, say: Say) -> ComposerManifest:
    """Train, export and describe an ISA composer.

    Args:
        config: What to do.
        folder: Run folder: `config.json`, `metrics.jsonl`, `checkpoint.pt`, `composer/`.
        say: Takes lines of progress.

    Returns:
        The composer's manifest.

    Raises:
        TrainingError: If there are no images, none that can be read, fewer than a batch, or the
            folder holds another run.
        BundleError: If the foundation model is missing or damaged.
        ModelError: If it has no spatial features where those are needed.
    """
    workers = open_workers()
    main = workers.rank == 0
    tell: Say = say if main else lambda _: None
    phrases = read_phrases(config.phrases)
    if main:
        claim(folder, config)
    torch.manual_seed(config.seed)
    foundation = FrozenFoundation.load(config.model, str(workers.device))
    encoder = _encoder(config, foundation, workers)
    with workers.main_first():
        files, in_dev, sources = _files(config, foundation, tell)
        bank = _bank(config, foundation, encoder, files, in_dev, tell)
    tell(f"{len(bank.train):,} pictures to train on, {len(bank.dev):,} for dev figures")
    learner = TokenLearner(
        encoder.channels,
        foundation.word_dimension,
        config.token_learner,
        foundation.word_statistics,
    )
    light_vector = _light_vector(config, foundation, encoder)
    matcher = load_matcher(foundation, config.objective)
    if matcher is not None:
        tell("LAR by the model's own matching encoder")
    task = IsaTask(
        foundation,
        encoder,
        learner,
        bank,
        config.objective,
        phrases,
        config.blend,
        config.seed,
        workers=workers,
        precision=config.options.precision,
        dev_images=config.dev_images,
        light_vector=light_vector,
        matcher=matcher,
    )
    figures = train(
        task,
        config.loop,
        folder,
        config.seed,
        lambda record: tell(_line(record)),
        config.options,
        writes=main,
    )
    run = IsaRun(config, figures, sources, len(bank.train), has_matcher=matcher is not None)
    query = QueryParts(encoder, learner, light_vector)
    return _finish(run, foundation, query, folder / "composer", tell)


def _finish(
    run: IsaRun,
    foundation: FrozenFoundation,
    query: QueryParts,
    folder: Path,
    say: Say,
) -> ComposerManifest:
    """The composer, its blend chosen on dev queries where there are some."""
    manifest = write_composer(run, foundation, query, folder)
    choice = None
    if run.config.dev:
        # A device without a vector of its own has none to blend in.
        fixed = {} if manifest.vector or manifest.input != "pixels" else {"image": 0.0}
        model, cache = foundation.model, run.config.cache
        choice = choose_blend(model, folder, run.config.dev, cache, fixed)
        say(f"blend {dict(choice.settings)}: dev recall@10 {choice.score:.1f} %")
        manifest = write_composer(run, foundation, query, folder, choice)
    write_composer(
        run, foundation, query, folder.with_name(f"{folder.name}-fp32"), choice, quantise=False
    )
    say(f"wrote {folder}: use it with --composer {folder}")
    return manifest


def _files(
    config: IsaConfig, foundation: FrozenFoundation, say: Say
) -> tuple[list[PictureFile], list[bool], dict[str, str]]:
    """Files to read, whether each is for dev figures, and licences by where they come from."""
    hidden = _held_out(config, foundation)
    files: dict[PictureFile, bool] = {}
    sources: dict[str, str] = {}
    if config.data:
        found = read_pictures(
            PictureSources(data=config.data, dev_share=config.dev_share), hidden, say
        )
        files |= {picture.file: picture.split == "dev" for picture in found}
        sources |= {picture.source: picture.licence for picture in found}
    if config.images:
        for image in told_training_images(config.images, say):
            if image.offset or image.path.resolve() not in hidden:
                files.setdefault(image.file, is_dev(image.name, config.dev_share))
        sources |= dict.fromkeys((Path(spec).name for spec in config.images), NOT_STATED)
    return list(files), list(files.values()), sources


def _held_out(config: IsaConfig, foundation: FrozenFoundation) -> set[Path]:
    """Files that dev queries ask about."""
    sets = [open_dev_set(folder, foundation.model, config.cache) for folder in config.dev]
    return {file.resolve() for one in sets for file in one.asked_about}


def _light_vector(
    config: IsaConfig, foundation: FrozenFoundation, encoder: LightEncoder
) -> LightVector | None:
    if not config.has_light_vector:
        return None
    if config.light.name == GALLERY:
        made = LightVector.of_gallery(foundation.model.bundle, config.light_vector)
    else:
        made = LightVector(encoder.channels, foundation.dimension, config.light_vector)
    return made.to(foundation.device)


def _encoder(config: IsaConfig, foundation: FrozenFoundation, workers: Workers) -> LightEncoder:
    if config.side == "asymmetric":
        return load_light_encoder(config.light, foundation.model.bundle).to(workers.device).eval()
    size = foundation.model.image_spec.size
    blank = torch.zeros(1, size, size, 3, dtype=torch.uint8).numpy()
    return PatchTokens(foundation.model.images.encode_pixel_patches(blank)[1].shape[2])


def _bank(
    config: IsaConfig,
    foundation: FrozenFoundation,
    encoder: LightEncoder,
    files: Sequence[PictureFile],
    in_dev: Sequence[bool],
    say: Say,
) -> PictureBank:
    views = [_view(config, foundation, encoder, files, view, say) for view in range(config.views)]
    failures = views[0].gallery.failures
    log_skipped(((getattr(file, "path", file), why) for file, why in failures), say)
    if failures:
        say(f"{len(failures):,} of {len(files):,} pictures cannot be read")
    return PictureBank.of(views, in_dev, plain_teacher=config.teacher == "plain")


def _view(
    config: IsaConfig,
    foundation: FrozenFoundation,
    encoder: LightEncoder,
    files: Sequence[PictureFile],
    view: int,
    say: Say,
) -> View:
    spatial = config.side == "symmetric" or config.objective.lar.weight > 0
    progress = _Progress(say, f"gallery features, view {view}")
    try:
        gallery = gallery_features(
            config.cache, files, foundation.model, progress, view, spatial=spatial
        )
    except ModelError as error:
        hint = "" if config.side == "symmetric" else "; or train without: objective.lar.weight=0"
        raise ModelError(f"{error}{hint}") from error
    if config.side == "symmetric":
        return View.of(len(files), None, gallery)
    light = light_features(
        config.cache,
        files,
        encoder,
        f"{config.light.name} {config.light.trained_blocks}",
        view,
        _Progress(say, f"light features, view {view}"),
    )
    return View.of(len(files), light, gallery)


class _Progress:
    """Says how far something is, about every twentieth of the way."""

    def __init__(self, say: Say, what: str) -> None:
        self._say, self._what, self._said = say, what, -1

    def __call__(self, done: int, total: int) -> None:
        if done * 20 // total > self._said:
            self._said = done * 20 // total
            self._say(f"{self._what}: {done:,} of {total:,}")


def _line(record: dict[str, float]) -> str:
    step, seconds = int(record["step"]), record["seconds"]
    shown = ("image/recall@1", "sentence/both@10", "blend/both@10", "sum/both@10")
    figures = ", ".join(f"{name} {record[name]:.1f}" for name in shown if name in record)
    return f"step {step}, {seconds:.0f} s, loss {record['loss']:.3f}, dev: {figures or 'none'}"
