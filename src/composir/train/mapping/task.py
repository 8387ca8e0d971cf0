"""Stage 1 of Map-to-Compose as a training task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composir.compose.blend import BlendWeights
from composir.compose.token_graph import LightTokens
from composir.compose.trained import Templates
from composir.encode.stored import StoredRows
from composir.errors import TrainingError
from composir.model.base import SplicingEncoder
from composir.train.blend import BlendSettings
from composir.train.blend_trials import BlendTrials
from composir.train.config import Count, LearningRate, Pairs, Settings, Temperature, Texts, Weight
from composir.train.dev_set import DevSet, terms_of
from composir.train.frozen import FrozenFoundation
from composir.train.loop import ParameterGroup, drawn_rows
from composir.train.losses import distillation_loss, relative_entropy, symmetric_contrast
from composir.train.mapping.mapper import Mapper
from composir.train.sentences import encode_sentences
from composir.train.steering import PhraseSteering, SteeringConfig, steering_loss
from composir.types import FloatArray

MOST_DEV = 512


DevCheck: TypeAlias = Callable[[Mapper], Mapping[str, float]]
"""Figures of a mapper, in evaluation mode, on dev queries."""


def dev_check(
    dev: DevSet,
    patches: FloatArray | None,
    templates: Templates,
    settings: BlendSettings,
    texts: SplicingEncoder,
) -> DevCheck:
    """Composed recall@10 of a dev set: of the sentence alone, and of the blend without choice.

    `patches` (m, N, Dp) are of its references, for mappers that inject them.
    """
    blends = {"sentence": BlendWeights(), "blend": BlendWeights(**dict(settings))}

    def check(mapper: Mapper) -> Mapping[str, float]:
        device = mapper.word_like.mean.device
        seen = None if patches is None else torch.from_numpy(patches).to(device)
        words, _ = mapper(torch.from_numpy(dev.vectors).to(device), seen)
        terms = terms_of(dev, LightTokens(words.cpu().numpy()), templates, texts)
        scores = BlendTrials(dev, terms).scores([*blends.values()])
        return {
            f"{dev.name}/{name}/recall@10": recall
            for name, (recall, _) in zip(blends, scores, strict=True)
        }

    return check


class MapObjective(Settings):
    """What is asked of the mapper.

    Attributes:
        batch: Pictures a step.
        rate: Peak learning rate.
        temperature: Of the image contrast.
        negatives: Further pictures that each sentence is contrasted with.
        alignment: Weight of the soft text alignment; 0 switches it off.
        teacher_temperature: Of the picture's fit to texts.
        student_temperature: Of its sentence's fit to texts.
        bank: Texts of the bank drawn a step, besides one of each picture of the batch.
        templates: Sentences of training, one drawn a step; none for the bundle's own alone.
        steering: Text faithfulness: words still count beside the pseudo-word.
    """

    batch: Pairs = 256
    rate: LearningRate = 5e-4
    temperature: Temperature = 0.03
    negatives: Count = 1024
    alignment: Weight = 1.0
    teacher_temperature: Temperature = 0.03
    student_temperature: Temperature = 0.03
    bank: Count = 512
    templates: Texts = ()
    steering: SteeringConfig = SteeringConfig(
        phrase_weight=6.0, phrase_share=0.5, text_weight=3.0, replaced=0.03
    )


@dataclass(frozen=True, slots=True)
class MapBank:
    """Pictures as the gallery's encoder sees them, and texts.

    Attributes:
        vectors: (n, D) float32.
        patch_tokens: (n, N, Dp) float16, read from disk where indexed; None for the plain mapper.
        train: Rows to train on.
        dev: Rows for figures.
        texts: (t, D) float32, vectors of all texts; t may be 0 without alignment.
        own: By row, which texts are the picture's own.
    """

    vectors: Tensor
    patch_tokens: StoredRows | NDArray[np.float16] | None
    train: NDArray[np.int64]
    dev: NDArray[np.int64]
    texts: Tensor
    own: Sequence[Sequence[int]]

    @property
    def patch_width(self) -> int | None:
        """Dp; None for the plain mapper."""
        return None if self.patch_tokens is None else int(self.patch_tokens.shape[-1])


@dataclass(frozen=True, slots=True)
class PhraseSentences:
    """Sentences with a phrase, and how they are put.

    Attributes:
        steering: Draws phrases and says where their sentences lead.
        template: Such a sentence, with `{}` and `{text}`.
    """

    steering: PhraseSteering
    template: str


class MappingTask:
    """Image contrast, soft text alignment and steering over cached features."""

    def __init__(
        self,
        foundation: FrozenFoundation,
        mapper: Mapper,
        bank: MapBank,
        objective: MapObjective,
        seed: int,
        dev_checks: Sequence[DevCheck] = (),
        steered: PhraseSentences | None = None,
    ) -> None:
        """Train `mapper`; no sentences are steered if the objective gives them no weight."""
        if len(bank.train) < objective.batch:
            raise TrainingError(
                f"{len(bank.train)} training pictures are fewer than a batch of {objective.batch}: "
                "add pictures, or set objective.batch lower"
            )
        self.foundation, self.mapper, self.bank = foundation, mapper, bank
        self.objective, self.seed, self.dev_checks = objective, seed, dev_checks
        self.steered = steered if objective.steering.phrase_weight else None
        self.templates = objective.templates or (foundation.templates["pseudo_word"],)

    def groups(self) -> Sequence[ParameterGroup]:
        """The mapper, injection included."""
        return [ParameterGroup(tuple(self.mapper.parameters()), self.objective.rate)]

    def loss(self, step: int) -> Tensor:
        """Contrast, alignment and steering of one batch."""
        self.mapper.train()
        objective, bank = self.objective, self.bank
        generator = np.random.default_rng((self.seed, step))
        places = drawn_rows(len(bank.train), step, objective.batch, self.seed)
        rows = bank.train[places]
        vectors = self.foundation.text_aligned(bank.vectors[rows])
        template = self.templates[generator.integers(len(self.templates))]
        tokens: Tensor = self.mapper(bank.vectors[rows], self._patches(rows))[0]
        sentences = self._encoded(tokens, template)
        others = np.setdiff1d(bank.train, rows)
        count = min(objective.negatives, len(others))
        further = bank.vectors[generator.choice(others, count, replace=False)]
        negatives = self.foundation.text_aligned(further)
        loss = symmetric_contrast(sentences, vectors, objective.temperature, negatives)
        if objective.alignment:
            loss = loss + objective.alignment * distillation_loss(
                sentences,
                vectors,
                bank.texts[self._texts(rows, generator)],
                objective.teacher_temperature,
                objective.student_temperature,
            )
        if self.steered is not None:
            steering = self._steering_loss(self.steered, tokens, vectors, generator)
            loss = loss + objective.steering.phrase_weight * steering
        return loss

    def evaluate(self) -> dict[str, float]:
        """How often a dev picture's sentence finds its picture among all, and the dev checks."""
        self.mapper.eval()
        figures: dict[str, float] = {}
        with torch.no_grad():
            # From all over, because sources follow one another.
            rows = self.bank.dev[:: max(1, -(-len(self.bank.dev) // MOST_DEV))]
            if len(rows) > 1:
                tokens, maps = self.mapper(self.bank.vectors[rows], self._patches(rows))
                if maps is not None and maps.shape[-1] > 1:
                    figures["injection/entropy"] = float(relative_entropy(maps))
                sentences = self._encoded(tokens, self.templates[0])
                figures["contrast_accuracy"] = _accuracy(sentences, self.bank.vectors[rows])
            for check in self.dev_checks:
                figures |= check(self.mapper)
        return figures

    def _encoded(self, tokens: Tensor, template: str, texts: Sequence[str] | None = None) -> Tensor:
        foundation = self.foundation
        return encode_sentences(foundation, foundation.text, template, tokens, texts).vectors

    def _steering_loss(
        self,
        steered: PhraseSentences,
        tokens: Tensor,
        vectors: Tensor,
        generator: np.random.Generator,
    ) -> Tensor:
        phrases = steered.steering.draw(len(tokens), generator)
        rows = steered.steering.rows_with_phrase(phrases)
        if not rows:
            return tokens.new_zeros(())
        asked = [phrases[row] for row in rows]
        texts = [steered.steering.texts[phrase] for phrase in asked]
        composed = self._encoded(tokens[rows], steered.template, texts)
        goals = steered.steering.targets(vectors[rows], asked)
        return steering_loss(composed, goals, self.objective.steering.temperature)

    def _patches(self, rows: NDArray[np.int64]) -> Tensor | None:
        if self.bank.patch_tokens is None or not self.mapper.injections:
            return None
        chosen = np.asarray(self.bank.patch_tokens[rows])
        return torch.from_numpy(chosen).to(self.bank.vectors.device).float()

    def _texts(self, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """One own text of each picture that has any, and some of the bank; each once."""
        own = [
            self.bank.own[row][int(generator.integers(len(self.bank.own[row])))]
            for row in rows
            if len(self.bank.own[row])
        ]
        count = min(self.objective.bank, len(self.bank.texts))
        drawn = generator.choice(len(self.bank.texts), count, replace=False)
        return np.unique(np.concatenate([np.asarray(own, dtype=np.int64), drawn]))


def _accuracy(sentences: Tensor, vectors: Tensor) -> float:
    """Percent of sentences whose own picture comes first."""
    nearest = (sentences @ vectors.T).argmax(1)
    own = torch.arange(len(sentences), device=nearest.device)
    return 100.0 * float((nearest == own).float().mean())
