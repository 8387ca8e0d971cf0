"""Mapping learnt from texts alone: the idea of LinCIR (Gu et al. 2024, arXiv 2312.01998).

A caption's vector plus noise is mapped to a pseudo-word, and the caption with its content words
replaced by that pseudo-word must mean what the caption meant. No picture is needed; at query time
the mapper takes a picture's vector instead of a caption's, which the noise prepares it for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from composir.compose.trained import ComposerManifest
from composir.data.function_words import COMMON
from composir.data.untrusted_json import read_lines
from composir.errors import TrainingError
from composir.train.config import Batch, Files, LearningRate, Length, Name, Settings
from composir.train.frozen import FrozenFoundation, with_noise
from composir.train.loop import LoopConfig, ParameterGroup, drawn_rows
from composir.train.mapping.caption_bank import neutral_phrases
from composir.train.mapping.mapper import Mapper, MapperConfig
from composir.train.mapping.recipe import MapperRunConfig, chosen_templates, dev_checks, finish
from composir.train.mapping.task import DevCheck
from composir.train.run import Log, Run
from composir.train.sentences import framed, read_embedded
from composir.train.source_pictures import NOT_STATED, read_pictures

_FUNCTION_TEXT = (
    "about above across after again against all along also although always am among "
    "another around away back because before behind being below beneath beside between "
    "beyond both can could did do does doing down during either else ever few get gets "
    "getting had has have having hers how if image inside itself least less like many may "
    "might more most much must near next nor now off once only other outside own past per "
    "photo picture s same several should since something still such t through together too "
    "toward towards underneath until upon whose why will within without would"
)
FUNCTION_WORDS = COMMON | frozenset(_FUNCTION_TEXT.split())
_PIECE = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[^\w\s]|_")
GAP = None
MOST_DEV = 256
PRESET = ("mapper.injection_layers=0",)
"""Injection is off whatever a file of settings says of the mapper's other sizes."""
ABOUT = (
    "Text-only mapping, the idea of LinCIR (arXiv 2312.01998): an MLP maps a vector to one "
    "pseudo-word. It was trained from captions plus noise back to the captions' content, without "
    "any picture."
)


def with_gaps(caption: str) -> list[str | None]:
    """Replace every run of content words by one gap.

    "a brown dog runs through the tall grass" becomes "a", gap, "through the", gap.
    """
    parts: list[str | None] = []
    for piece in _PIECE.findall(caption):
        stays = piece.lower() in FUNCTION_WORDS or not piece[0].isalnum()
        if not stays:
            parts += [GAP] if not parts or parts[-1] is not GAP else []
        elif parts and parts[-1] is not GAP:
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.append(piece)
    return parts


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


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption with gaps: token ids, and `None` where pseudo-words go."""

    text: str
    pieces: tuple[int | None, ...]


class TextMapTask:
    r"""Back from a noisy caption to its content (a `loop.TrainingTask`).

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
        """Train on the first captions; the second are for figures. Vectors: (n, D), unit norm."""
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
        noisy = with_noise(self.foundation, vectors, self.objective.noise)
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
        """Vectors (n, D) of n captions; every gap of one gets all its tokens, of (n, L, Dw)."""
        sentences = [
            framed(self.foundation, [words if piece is None else piece for piece in caption.pieces])
            for caption, words in zip(captions, tokens, strict=True)
        ]
        return read_embedded(self.foundation, self.foundation.text, sentences).vectors


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


class TextMapConfig(MapperRunConfig):
    """Everything that changes the outcome, beside what every mapping is told.

    Of `sources` captions alone are read; the pictures themselves are not opened.

    Attributes:
        texts: Plain text files, one caption a line.
        objective: Loss and batches.
    """

    texts: Files = ()
    name: Name = "text-map"
    mapper: MapperConfig = MapperConfig(injection_layers=0)
    objective: TextObjective = TextObjective()
    loop: LoopConfig = LoopConfig(
        steps=300, warmup=30, average=0.98, evaluate_every=100, checkpoint_every=50
    )


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
    templates = chosen_templates(foundation, config)
    checks = dev_checks(run, config, dev, templates)
    task = TextMapTask(foundation, mapper, captions, vectors, config.objective, config.seed, checks)
    figures = run.train(task, config.options)
    return finish(
        run,
        config,
        mapper,
        templates,
        dev,
        ABOUT,
        verb="baseline text-map",
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
        parts["train"] += [line.strip() for _, line in read_lines(path, TrainingError)]
        sources[path.name] = NOT_STATED
    if not parts["train"]:
        raise TrainingError("no captions: name data sets that have some, or text files with texts")
    texts = list(dict.fromkeys([*parts["train"], *neutral_phrases()]))
    return texts, list(dict.fromkeys(parts["dev"])), sources


def _vectors(run: Run, captions: Sequence[Caption]) -> Tensor:
    found = run.encoded_texts([caption.text for caption in captions])
    return torch.from_numpy(found).to(run.foundation.device)
