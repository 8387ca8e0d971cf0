"""ISA as a recipe: pictures, cached features, training, a composer folder.

`side` chooses what the token learner reads: a light network's map (asymmetric, the paper's), or
the patch tokens of the gallery's encoder (symmetric). Everything else is the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from composir.compose.trained import ComposerManifest
from composir.errors import ModelError
from composir.model.bundle import Source
from composir.train.blend import BlendSettings
from composir.train.card import Card, write_composer
from composir.train.config import Between, Count, File, Files, Name, Texts, at_temperature
from composir.train.frozen import FrozenFoundation
from composir.train.isa.light_encoder import (
    GALLERY,
    LightEncoder,
    LightEncoderConfig,
    PatchTokens,
    load_light_encoder,
)
from composir.train.isa.light_vector import LightVector, LightVectorConfig
from composir.train.isa.objective import ObjectiveConfig, load_matcher
from composir.train.isa.picture_bank import PictureBank, View, light_features
from composir.train.isa.query_graph import IsaQuery
from composir.train.isa.task import IsaTask
from composir.train.isa.token_learner import TokenLearner, TokenLearnerConfig
from composir.train.loop import LoopConfig, LoopOptions
from composir.train.run import COMPOSER, QUERY_GRAPH, Log, Run, RunConfig, public_command
from composir.train.source_pictures import (
    NOT_STATED,
    PictureSources,
    SourcePicture,
    licences,
    read_pictures,
)
from composir.train.steering import read_phrases

FIGURES = (
    "Figures on dev pictures at the end (`image/…`: sentences that find their own picture, "
    "percent; `…/both@10`: found pictures that fit a neutral phrase and stay like the reference, "
    "both judged by the frozen model itself; `sum/…` is the untrained sum of both vectors):"
)


class IsaConfig(RunConfig):
    """Everything that changes the outcome, beside what every recipe is told.

    Attributes:
        images: Folders, globs, tar shards or Parquet tables of unlabelled pictures.
        data: Data set folders, or folders of such; their training parts alone are trained on.
        dev: Data set folders whose composed queries choose the blend in the end; what they ask
            about is left out of training.
        side: `asymmetric`, with a light network, or `symmetric`, on the gallery's patch tokens.
        light: The light network.
        token_learner: From its map to pseudo-words.
        light_vector: From its map to an estimate of the reference's gallery vector (asymmetric).
        objective: Losses, batches, templates.
        phrases: Own list of neutral phrases (`steering.read_phrases`); empty for the packaged one.
        views: Cached views of each picture; the first is plain, the others are augmented.
        teacher: Whose vectors are the targets of an augmented view: its own, or the plain one's.
        dev_share: Share of pictures kept for dev figures, by the hash of their names.
        dev_images: At most so many are evaluated.
        blend: Weights of a query where no `dev` chooses them.
        options: Precision, early stopping, curves.
        licence: Of the weights; empty for the model's.
    """

    images: Texts = ()
    data: Files = ()
    dev: Files = ()
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
    name: Name = "isa"
    licence: str = ""

    @property
    def fixed_weights(self) -> dict[str, float]:
        """A device without a vector of its own has none to blend in."""
        has_vector = self.has_light_vector or self.side == "symmetric"
        return {} if has_vector else {"image": 0.0}

    @model_validator(mode="after")
    def _has_pictures(self) -> Self:
        if not self.images and not self.data:
            raise ValueError("no training images: name a folder with --images")
        return self

    @property
    def has_light_vector(self) -> bool:
        """Whether the query side estimates v: only where the gallery's encoder is not at hand."""
        return self.side == "asymmetric" and self.light_vector.weight > 0


def train_isa(config: IsaConfig, folder: Path, log: Log) -> ComposerManifest:
    """Train, export and describe an ISA composer.

    The run folder gets `config.json`, `metrics.jsonl`, `checkpoint.pt`, `composer/`, and the same
    with float32 weights in `composer-fp32/`.
    """
    phrases = read_phrases(config.phrases)
    run = Run.begin(config, folder, log)
    encoder = _encoder(config, run)
    with run.workers.main_first():
        dev = run.dev_sets(config.dev)
        held_out = {file for one in dev for file in one.asked_about}
        sources = PictureSources(data=config.data, images=config.images, dev_share=config.dev_share)
        pictures = read_pictures(sources, held_out, run.log)
        views = [_view(config, run, encoder, pictures, view) for view in range(config.views)]
        in_dev = [picture.split == "dev" for picture in pictures]
        bank = PictureBank.of(views, in_dev, plain_teacher=config.teacher == "plain")
    run.log(f"{len(bank.train):,} pictures to train on, {len(bank.dev):,} for dev figures")
    foundation = run.foundation
    words, width = foundation.word_statistics(phrases.texts), foundation.word_dimension
    learner = TokenLearner(encoder.channels, width, config.token_learner, words)
    light_vector = _light_vector(config, foundation, encoder)
    objective = at_temperature(config.objective, foundation.temperature, "lar")
    matcher = load_matcher(foundation, objective)
    if matcher is not None:
        run.log("LAR by the model's own matching encoder")
    task = IsaTask(
        foundation,
        encoder,
        learner,
        bank,
        objective,
        phrases,
        config.blend,
        config.seed,
        workers=run.workers,
        precision=config.options.precision,
        dev_images=config.dev_images,
        light_vector=light_vector,
        matcher=matcher,
    )
    figures = run.train(task, config.options)
    query = IsaQuery(encoder, learner, light_vector)
    used = licences(pictures, config.images)
    alignment = "late interaction" if matcher is None else "matching encoder"
    aligned = alignment if config.objective.lar.weight else "none"
    about = {"pictures": len(bank.train), "alignment": aligned}
    composer, twin = _write(config, run, query, figures, used, about)
    made = run.choose_blend(composer, dev, config.fixed_weights, [twin])
    run.log(f"wrote {composer}: use it with --composer {composer}")
    return made


def _write(
    config: IsaConfig,
    run: Run,
    query: IsaQuery,
    figures: Mapping[str, float],
    used: Mapping[str, str],
    about: Mapping[str, Any],
) -> tuple[Path, Path]:
    """The composer, and its twin with float32 weights; the blend is the configuration's."""
    places = run.folder / COMPOSER, run.folder / f"{COMPOSER}-fp32"
    named = {"images": config.images, "data": config.data, "dev": config.dev}
    command = public_command("isa", {**named, "model": [config.model]})
    use = "training: pictures alone"
    for place, quantise in zip(places, (True, False), strict=True):
        told = {**query.export(run.foundation, place / QUERY_GRAPH, quantise=quantise), **about}
        fields = run.composer(place, command, figures, used, use, **told)
        fields |= _fields(config, query.encoder, fields)
        write_composer(place, fields, _card(config, query.encoder, told))
    return places


def _encoder(config: IsaConfig, run: Run) -> LightEncoder:
    if config.side == "asymmetric":
        bundle = run.foundation.model.bundle
        return load_light_encoder(config.light, bundle).to(run.workers.device).eval()
    rows, columns, width = run.foundation.patch_shape()
    return PatchTokens(width, (rows, columns))


def _light_vector(
    config: IsaConfig, foundation: FrozenFoundation, encoder: LightEncoder
) -> LightVector | None:
    if not config.has_light_vector:
        return None
    chosen = at_temperature(config.light_vector, foundation.temperature)
    if config.light.name == GALLERY:
        made = LightVector.of_gallery(foundation.model.bundle, chosen)
    else:
        made = LightVector(encoder.channels, foundation.dimension, chosen)
    return made.to(foundation.device)


def _view(
    config: IsaConfig, run: Run, encoder: LightEncoder, pictures: Sequence[SourcePicture], view: int
) -> View:
    files = [picture.file for picture in pictures]
    symmetric = config.side == "symmetric"
    spatial = symmetric or config.objective.lar.weight > 0
    try:
        gallery = run.features(files, f"gallery features, view {view}", view, spatial=spatial)
    except ModelError as error:
        hint = "" if symmetric else "; or train without: objective.lar.weight=0"
        raise ModelError(f"{error}{hint}") from error
    if symmetric:
        return View.of(len(files), None, gallery)
    name = f"{config.light.name} {config.light.trained_blocks}"
    progress = run.progress(f"light features, view {view}")
    light = light_features(config.cache, files, encoder, name, view, progress)
    return View.of(len(files), light, gallery)


def _fields(config: IsaConfig, encoder: LightEncoder, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says beside what all say."""
    asymmetric, light = config.side == "asymmetric", config.light.name
    sources = list(fields["sources"])
    # The gallery's own network came with the model.
    if asymmetric and light != GALLERY:
        known = "Apache-2.0" if ":" not in light else NOT_STATED
        weights = Source(name=f"{light}, published weights", licence=known, use="light side")
        sources.insert(1, weights)
    return {
        "kind": "sentence",
        "input": "pixels" if asymmetric else "patch_tokens",
        "preprocess": encoder.preprocess if asymmetric else None,
        "tokens": config.token_learner.num_tokens,
        "vector": config.has_light_vector,
        "templates": {
            "image": config.objective.image_template,
            "composed": config.objective.composed_template,
        },
        "settings": dict(config.blend),
        "licence": config.licence or fields["licence"],
        "sources": sources,
    }


def _card(config: IsaConfig, encoder: LightEncoder, told: Mapping[str, Any]) -> Card:
    reads = "the token learner reads the patch tokens of the gallery's encoder"
    if config.side == "asymmetric":
        own = config.light.name == GALLERY
        light = "the gallery's own network" if own else config.light.name
        reads = f"{light} reads the reference at {encoder.preprocess.size} px"
    estimate = ", and a small head estimates its gallery vector" if config.has_light_vector else ""
    return Card(
        about=(
            "ISA (Image2Sentence based asymmetrical composed retrieval, arXiv 2403.01431), "
            f"{config.side}:\n{reads}; a token learner "
            f"({config.token_learner.kind}) turns it into {config.token_learner.num_tokens} "
            f"pseudo-words for\nthe frozen text encoder{estimate}. Trained on "
            f"{told['pictures']:,} unlabelled pictures, without composed triplets."
        ),
        facts=(
            f"Local alignment of sentences and pictures: {told['alignment']}.",
            f"Weights {told['weights']}, arithmetic float32.",
        ),
        figures=FIGURES,
    )
