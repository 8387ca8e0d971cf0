"""Stage 2, composing: adapters learn to read "a photo of [w] that …" (arXiv 2504.17990).

Image encoder, mapper and injection are frozen, so images are cached vectors and references are
cached tokens; a step costs only the text tower. Several query sides can share one adapted tower:
each step takes the tokens of one of them, in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from composir.compose.trained import Templates
from composir.errors import TrainingError
from composir.train.blend import BlendSettings, blended
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.mining import (
    NONE,
    HardNegatives,
    IndexedTriplets,
    MiningConfig,
    Rows,
)
from composir.train.composing.recall import recalls
from composir.train.config import Count, Pairs, Rate, Settings, Temperature, Weight
from composir.train.draws import drawn_rows
from composir.train.frozen import FrozenFoundation
from composir.train.loop import ParameterGroup, full_precision
from composir.train.losses import hard_negative_contrast
from composir.train.sentences import encode_sentences, read_embedded
from composir.types import FloatArray

WATCHED = "dev/mean_recall"
EVALUATION_BATCH = 256


class ComposingConfig(Settings):
    """What a step is made of.

    Attributes:
        batch: Triplets.
        rate: Peak learning rate of the adapters.
        temperature: τ of the contrast. With a model whose vectors have an appearance part, a blend
            without v reaches cosines of 1 / sqrt(1 + w²) at most, so that τ acts softer.
        blend: What is contrasted with the target; by default the composed sentence alone.
        anchor_texts: Plain captions a step that must stay where the frozen tower puts them.
        anchor_images: Image-only sentences a step, likewise.
        anchor_weight: Of the anchor's loss; 0 switches it off.
    """

    batch: Pairs = 128
    rate: Rate = 1e-3
    temperature: Temperature = 0.05
    blend: BlendSettings = BlendSettings()
    anchor_texts: Count = 32
    anchor_images: Count = 32
    anchor_weight: Weight = 10.0


@dataclass(frozen=True, slots=True)
class FrozenTriplets:
    """Triplets of one split with everything that is frozen about them for one query side.

    Attributes:
        indexed: As rows of the image vectors.
        templates: The query side's sentences.
        tokens: (m, L, Dw) float32 of their references.
        sentences: (m, D) float32, s: the references' image-only sentences in the frozen tower.
        vectors: (m, D) float32, v: the references' vectors, the gallery's or the query side's own.
    """

    indexed: IndexedTriplets
    templates: Templates
    tokens: Tensor
    sentences: Tensor
    vectors: Tensor

    def on(self, device: torch.device) -> FrozenTriplets:
        """The same with its tensors on a device."""
        tensors = (part.to(device) for part in (self.tokens, self.sentences, self.vectors))
        return FrozenTriplets(self.indexed, self.templates, *tensors)


class ComposingTask:
    """Adapters trained on triplets over cached vectors and tokens (`train.loop.TrainingTask`).

    Attributes:
        tower: The adapted tower.
    """

    def __init__(
        self,
        foundation: FrozenFoundation,
        tower: AdaptedTower,
        images: FloatArray,
        sides: Mapping[str, tuple[FrozenTriplets, FrozenTriplets]],
        captions: Sequence[str],
        configs: tuple[ComposingConfig, MiningConfig],
        seed: int,
    ) -> None:
        """Prepare; the hard negatives' candidates are found here.

        Args:
            foundation: Tokeniser, word embeddings and the frozen tower.
            tower: Its text tower with adapters.
            images: (n, D) float32, unit norm: vectors of all images.
            sides: Training and dev triplets of every query side by its name; all of the same
                triplets.
            captions: Plain texts for the anchor.
            configs: Of steps and of hard negatives.
            seed: Of order and draws.
        """
        self.foundation, self.tower, self._seed = foundation, tower, seed
        device = foundation.device
        self._train = [train.on(device) for train, _ in sides.values()]
        self._dev = {name: dev.on(device) for name, (_, dev) in sides.items()}
        self._triplets = self._train[0].indexed
        self._config, mining = configs
        count = len(self._triplets)
        if count < self._config.batch:
            raise TrainingError(
                f"{count} training triplets are fewer than a batch of {self._config.batch}: "
                "bring more, or set composing.batch lower (--set composing.batch=16)"
            )
        self._images = images
        self._vectors = torch.from_numpy(images).to(device)
        self._negatives = HardNegatives(self._triplets, images, mining, seed)
        self._captions = tuple(dict.fromkeys(captions))
        self._anchors = foundation.encode_texts(self._captions) if self._captions else None

    def groups(self) -> Sequence[ParameterGroup]:
        """The adapters."""
        return [ParameterGroup(tuple(self.tower.trained().values()), self._config.rate)]

    def loss(self, step: int) -> Tensor:
        """Contrast of one batch of triplets as one query side puts them, and the anchor."""
        if self._negatives.refresh_due(step):
            # The first side orders for all: candidates are the same for every side, and encoding
            # all training queries is what costs, so more sides do not make it slower.
            self._negatives.refresh(self.queries(self._train[0]).numpy())
        self.tower.train()
        part = self._train[step % len(self._train)]
        generator = np.random.default_rng((self._seed, step))
        count, batch = len(self._triplets), self._config.batch
        rows = np.asarray(drawn_rows(count, step, batch, self._seed), dtype=np.int64)
        targets = self._targets(rows, generator)
        negatives = self._negatives.draw(rows, step)
        loss = hard_negative_contrast(
            self._queries(part, rows),
            self._vectors[targets],
            self._vectors[np.maximum(negatives, 0)],
            self._mask(rows, targets, negatives),
            self._config.temperature,
        )
        if self._config.anchor_weight:
            loss = loss + self._config.anchor_weight * self._anchor_loss(part, rows, generator)
        return loss

    def evaluate(self) -> dict[str, float]:
        """Recall on the dev triplets (percent, mean over sides); how far captions have moved."""
        found = {name: self._recalls(part) for name, part in self._dev.items()}
        figures = {
            f"dev/{k}": float(np.mean([one[k] for one in found.values()]))
            for k in next(iter(found.values()))
        }
        figures[WATCHED] = float(np.mean(list(figures.values())))
        if len(found) > 1:
            for name, one in found.items():
                figures[f"dev/{name}/mean_recall"] = float(np.mean(list(one.values())))
        figures["anchor/cosine"] = self._anchor_cosine()
        return figures

    def state(self) -> dict[str, Tensor]:
        """The order of the hard negatives, for checkpoints."""
        return {kind: torch.from_numpy(pool) for kind, pool in self._negatives.pools.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the order that a checkpoint has."""
        self._negatives.pools = {kind: pool.numpy() for kind, pool in state.items()}

    def queries(self, part: FrozenTriplets) -> Tensor:
        """Blended queries of a whole part with the weights as they are, (m, D), no gradient.

        They come as float32 on the CPU, in a loss too.
        """
        self.tower.train(mode=False)
        every = np.arange(len(part.indexed))
        with torch.inference_mode(), full_precision(self.foundation.device):
            blocks = [
                self._queries(part, every[at : at + EVALUATION_BATCH])
                for at in range(0, len(every), EVALUATION_BATCH)
            ]
        return torch.cat(blocks).cpu()

    def _queries(self, part: FrozenTriplets, rows: Rows) -> Tensor:
        texts = [part.indexed.texts[row] for row in rows]
        composed = encode_sentences(
            self.foundation, self.tower.adapted, part.templates.composed, part.tokens[rows], texts
        ).vectors
        text = torch.from_numpy(part.indexed.text_vectors[rows]).to(composed.device)
        return blended(self._config.blend, composed, part.sentences[rows], part.vectors[rows], text)

    def _recalls(self, part: FrozenTriplets) -> dict[str, float]:
        return recalls(self.queries(part).numpy() @ self._images.T, part.indexed)

    def _targets(self, rows: Rows, generator: np.random.Generator) -> Rows:
        """One of the targets of each triplet, (b,)."""
        answers = [sorted(self._triplets.targets[row]) for row in rows]
        return np.array([own[generator.integers(len(own))] for own in answers], dtype=np.int64)

    def _mask(self, rows: Rows, targets: Rows, negatives: Rows) -> Tensor:
        """Which columns count: no in-batch image that answers the query, no empty place."""
        answers = [self._negatives.answers(int(row)) for row in rows]
        others = np.array([[target not in own for target in targets.tolist()] for own in answers])
        np.fill_diagonal(others, val=True)
        counts = np.concatenate([others, negatives != NONE], axis=1)
        return torch.from_numpy(counts).to(self.foundation.device)

    def _anchor_loss(
        self, part: FrozenTriplets, rows: Rows, generator: np.random.Generator
    ) -> Tensor:
        """`1 - cosine` to the frozen tower, on captions and on image-only sentences."""
        losses = []
        if self._anchors is not None and self._config.anchor_texts:
            count = min(self._config.anchor_texts, len(self._captions))
            chosen = generator.choice(len(self._captions), count, replace=False)
            moved = self._encode_plain([self._captions[row] for row in chosen])
            losses.append(1.0 - (moved * self._anchors[chosen]).sum(-1).mean())
        if self._config.anchor_images:
            chosen = rows[: self._config.anchor_images]
            moved = encode_sentences(
                self.foundation, self.tower.adapted, part.templates.image, part.tokens[chosen]
            ).vectors
            losses.append(1.0 - (moved * part.sentences[chosen]).sum(-1).mean())
        return torch.stack(losses).mean() if losses else part.vectors.new_zeros(())

    def _encode_plain(self, texts: Sequence[str]) -> Tensor:
        """Sentences without pseudo-words through the adapted tower, (n, D)."""
        ids = self.foundation.model.texts.tokenise(texts)
        words = [self.foundation.embed(sentence) for sentence in ids]
        return read_embedded(self.foundation, self.tower.adapted, words).vectors

    def _anchor_cosine(self) -> float:
        """Mean cosine of captions to where the frozen tower puts them; 1 where there are none."""
        if self._anchors is None:
            return 1.0
        with torch.inference_mode():
            moved = self._encode_plain(self._captions[:EVALUATION_BATCH])
        return float((moved * self._anchors[: len(moved)]).sum(-1).mean())
