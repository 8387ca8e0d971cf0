"""Mapping learnt from texts alone: the idea of LinCIR (Gu et al. 2024, arXiv 2312.01998).

A caption's vector plus noise is mapped to a pseudo-word, and the caption with its content words
replaced by that pseudo-word must mean what the caption meant. No picture is needed; at query time
the mapper takes a picture's vector instead of a caption's, which the noise prepares it for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from composir.compose.trained import ComposerManifest
from composir.data.untrusted_json import read_lines
from composir.encode.texts import encode_texts
from composir.errors import TrainingError
from composir.model.catalogue import DEFAULT_MODEL
from composir.train.baselines.content_words import GAP, with_gaps
from composir.train.blend import BlendSettings
from composir.train.config import (
    Batch,
    File,
    Files,
    LearningRate,
    Length,
    Name,
    Seed,
    Settings,
    as_dict,
)
from composir.train.draws import drawn_rows
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import feature_store
from composir.train.loop import LoopConfig, LoopOptions, ParameterGroup, train
from composir.train.mapping.finish import (
    MappedRun,
    finish,
    public_command,
    public_config,
)
from composir.train.mapping.mapper import Mapper, MapperConfig
from composir.train.mapping.phrases import neutral_phrases
from composir.train.mapping.recipe import (
    Say,
    bind_model,
    chosen_templates,
    dev_check,
    device,
    line,
    map_blend,
    open_dev_sets,
    tenths,
)
from composir.train.mapping.task import DevCheck
from composir.train.pictures import NOT_STATED, PictureSources, read_pictures
from composir.train.run_folder import claim
from composir.train.sentences import framed, read_embedded

PRESET = ("mapper.injection_layers=0",)
"""For `read_config`, which gives a part of which one setting is named its type's own defaults."""
CHUNK = 64
MOST_DEV = 256
ABOUT = (
    "Text-only mapping, the idea of LinCIR (arXiv 2312.01998): an MLP maps a vector to one "
    "pseudo-word. It was trained from captions plus noise back to the captions' content, without "
    "any picture."
)


class TextObjective(Settings):
    """What is asked of the mapper.

    Attributes:
        batch: Captions a step.
        rate: Peak learning rate.
        noise: Largest length of the random vector added to a caption's vector; its length is drawn
            uniformly up to this.
    """

    batch: Batch = 256
    rate: LearningRate = 5e-4
    noise: Length = 1.5


class TextMapConfig(Settings):
    """Everything that changes the outcome.

    Attributes:
        model: The foundation model: a name or a bundle's folder.
        sources: Whose captions; the pictures themselves are not opened.
        texts: Plain text files, one caption a line.
        dev: As in `MapConfig`.
        cache: Folder of caches.
        name: Of the composer.
        image_template: As in `MapConfig`.
        composed_template: As in `MapConfig`.
        mapper: Sizes; without injection.
        objective: Loss and batches.
        loop: Steps.
        options: Early stopping and the like.
        blend: Weights without dev queries.
        seed: Of everything random.
    """

    model: str = DEFAULT_MODEL
    sources: PictureSources = PictureSources()
    texts: Files = ()
    dev: Files = ()
    cache: File = Path(".cache/features")
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
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption with gaps: token ids, and `None` where pseudo-words go."""

    text: str
    pieces: tuple[int | None, ...]


class TextMapTask:
    r"""Back from a noisy caption to its content (a `loop.Task`).

    $$ L = \frac1n \sum_i \| T(c_i \text{ with its content replaced by } w_i) - T(c_i) \|^2,
       \quad w_i = \phi(\mathrm{normalise}(T(c_i) + u_i \epsilon_i)) $$

    with $u_i$ uniform up to `noise` and $\epsilon_i$ of unit length (arXiv 2312.01998, section 3.2;
    the noise's scale is ours).
    """

    def __init__(
        self,
        foundation: FrozenFoundation,
        mapper: Mapper,
        captions: tuple[Sequence[Caption], Sequence[Caption]],
        vectors: tuple[Tensor, Tensor],
        objective: TextObjective,
        seed: int,
        dev_checks: Sequence[DevCheck] = (),
    ) -> None:
        """Prepare.

        Args:
            foundation: The frozen text tower.
            mapper: Trained here.
            captions: Training and dev captions.
            vectors: Theirs, (n, D) and (m, D), unit norm.
            objective: Loss and batches.
            seed: Of the order and the noise.
            dev_checks: Called at every evaluation.

        Raises:
            TrainingError: If there are fewer captions than a batch holds.
        """
        if len(captions[0]) < objective.batch:
            raise TrainingError(
                f"{len(captions[0])} captions with content words are fewer than a batch of "
                f"{objective.batch}: add captions, or set objective.batch lower"
            )
        self.foundation, self.mapper, self.captions = foundation, mapper, captions
        self.vectors, self.objective, self.seed = vectors, objective, seed
        self.dev_checks = dev_checks

    def groups(self) -> Sequence[ParameterGroup]:
        """The mapper."""
        return [ParameterGroup(tuple(self.mapper.parameters()), self.objective.rate)]

    def loss(self, step: int) -> Tensor:
        """Squared distance of one batch."""
        self.mapper.train()
        rows = drawn_rows(len(self.captions[0]), step, self.objective.batch, self.seed)
        vectors = self.vectors[0][rows]
        # Texts have no appearance, so noise has none either.
        direction = self.foundation.meaning(torch.randn_like(vectors))
        direction = functional.normalize(direction, dim=-1)
        length = self.objective.noise * torch.rand(len(rows), 1, device=vectors.device)
        noisy = functional.normalize(vectors + length * direction, dim=-1)
        back = self.filled([self.captions[0][row] for row in rows], self.mapper(noisy)[0])
        return (back - vectors).square().sum(1).mean()

    def evaluate(self) -> dict[str, float]:
        """Mean cosine of dev captions to themselves with content replaced, and the dev checks."""
        self.mapper.eval()
        figures: dict[str, float] = {}
        with torch.no_grad():
            if len(self.captions[1]):
                vectors = self.vectors[1][:MOST_DEV]
                back = self.filled(self.captions[1][:MOST_DEV], self.mapper(vectors)[0])
                figures["caption_cosine"] = float((back * vectors).sum(1).mean())
            for check in self.dev_checks:
                figures |= check(self.mapper)
        return figures

    def filled(self, captions: Sequence[Caption], tokens: Tensor) -> Tensor:
        """Vectors of captions whose gaps are filled with pseudo-words.

        Args:
            captions: n captions.
            tokens: (n, L, Dw); every gap of caption i gets all of row i.

        Returns:
            (n, D), unit norm.
        """
        sentences = [
            framed(self.foundation, [words if piece is None else piece for piece in caption.pieces])
            for caption, words in zip(captions, tokens, strict=True)
        ]
        return read_embedded(self.foundation, self.foundation.text, sentences).vectors


def train_text_map(config: TextMapConfig, folder: Path, say: Say) -> ComposerManifest:
    """Train the mapper on captions and write its composer.

    Args:
        config: What to do.
        folder: Run folder.
        say: Takes lines of progress.

    Returns:
        The composer's manifest.

    Raises:
        TrainingError: If injection is asked for, or there are too few captions.
        DatasetError: If a data set is at fault.
    """
    if config.mapper.injection_layers:
        raise TrainingError("text-only mapping sees no patches: set mapper.injection_layers=0")
    claim(folder, config)
    torch.manual_seed(config.seed)
    foundation = FrozenFoundation.load(config.model, device())
    bind_model(folder, foundation)
    dev = open_dev_sets(config.dev, foundation, config.cache, say)
    held_out = {file for one in dev for file in one.asked_about}
    texts, dev_texts, sources = _read_texts(config, held_out, say)
    captions = gapped(foundation, texts), gapped(foundation, dev_texts)
    say(f"{len(captions[0]):,} captions to train on, {len(captions[1]):,} for figures")
    vectors = tuple(_vectors(config, foundation, part, say) for part in captions)
    mapper = Mapper(
        foundation.dimension,
        foundation.word_statistics,
        None,
        config.mapper,
        unread=foundation.appearance_width,
    ).to(foundation.device)
    templates = chosen_templates(foundation, config.image_template, config.composed_template)
    checks = [dev_check(foundation, one, None, templates, config.blend) for one in dev]
    task = TextMapTask(
        foundation,
        mapper,
        captions,
        (vectors[0], vectors[1]),
        config.objective,
        config.seed,
        checks,
    )
    figures = train(
        task, config.loop, folder, config.seed, lambda record: say(line(record)), config.options
    )
    run = MappedRun(
        name=config.name,
        about=ABOUT,
        command=_command(config, folder),
        config=public_config(as_dict(config)),
        seed=config.seed,
        figures=figures,
        templates=templates,
        blend=dict(config.blend),
        sources=sources,
        use="training: texts alone",
    )
    manifest = finish(run, foundation, mapper, folder / "composer", dev)
    say(f"wrote {folder / 'composer'}")
    return manifest


def gapped(foundation: FrozenFoundation, texts: Sequence[str]) -> list[Caption]:
    """Captions with gaps; those without content words are left out."""
    captions = []
    for text in texts:
        parts = with_gaps(text)
        if GAP not in parts:
            continue
        pieces: list[int | None] = []
        for part in parts:
            pieces += [None] if part is GAP else foundation.word_ids(part)
        captions.append(Caption(text, tuple(pieces)))
    return captions


def _read_texts(
    config: TextMapConfig, held_out: set[Path], say: Say
) -> tuple[list[str], list[str], dict[str, str]]:
    """Training texts, dev texts, and licences by where they come from."""
    parts: dict[str, list[str]] = {"train": [], "dev": []}
    sources: dict[str, str] = {}
    if config.sources.data or config.sources.images:
        for picture in read_pictures(config.sources, held_out, say):
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


def _vectors(
    config: TextMapConfig, foundation: FrozenFoundation, captions: Sequence[Caption], say: Say
) -> Tensor:
    if not captions:
        return torch.zeros(0, foundation.dimension, device=foundation.device)
    texts = [caption.text for caption in captions]
    found = encode_texts(
        texts, foundation.model, feature_store(config.cache), progress=tenths("texts", say)
    )
    return torch.from_numpy(found).to(foundation.device)


def _command(config: TextMapConfig, folder: Path) -> str:
    named = {
        "model": [config.model],
        "data": map(str, config.sources.data),
        "dev": map(str, config.dev),
        "out": [folder.name],
    }
    return public_command("baseline text-map", named)
