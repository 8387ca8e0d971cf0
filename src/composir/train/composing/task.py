"""Stage 2, composing: adapters learn to read "a photo of [w] that …" (arXiv 2504.17990).

Image encoder, mapper and injection are frozen, so images are cached vectors and references are
cached tokens; a step costs only the text tower. Several query sides can share one adapted tower:
each step takes the tokens of one of them, in turn. Text triplets are contrasted apart from those of
pictures: their targets are texts, and the composed sentence alone is what leads there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from composir.train.blend import BlendSettings
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.frozen_triplets import FrozenTriplets, recalls
from composir.train.composing.mining import MiningConfig
from composir.train.composing.step_losses import (
    AdaptedQueries,
    AnchorLoss,
    ImageSentences,
    PictureContrast,
)
from composir.train.composing.text_batches import FrozenTexts, TextBatch
from composir.train.config import Count, Pairs, Rate, Settings, Temperature, Weight
from composir.train.frozen import FrozenFoundation
from composir.train.loop import ParameterGroup
from composir.train.losses import hard_negative_contrast
from composir.train.sentences import encode_sentences
from composir.types import FloatArray

WATCHED = "dev/mean_recall"


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


class ComposingTask:
    """Adapters trained on triplets over cached vectors and tokens (`train.loop.TrainingTask`)."""

    def __init__(
        self,
        foundation: FrozenFoundation,
        tower: AdaptedTower,
        images: FloatArray,
        sides: Mapping[str, tuple[FrozenTriplets, FrozenTriplets]],
        captions: Sequence[str],
        configs: tuple[ComposingConfig, MiningConfig],
        seed: int,
        texts: FrozenTexts | None = None,
    ) -> None:
        """Prepare; the hard negatives' candidates are found here.

        Args:
            foundation: Tokeniser, word embeddings and the frozen tower.
            tower: Its text tower with adapters.
            images: (n, D) float32, unit norm: vectors of all images.
            sides: Training and dev triplets of every query side by its name; all of the same
                triplets. None where there are text triplets alone.
            captions: Plain texts for the anchor.
            configs: Of steps and of hard negatives.
            seed: Of order and draws.
            texts: Text triplets, as the same query sides put them.
        """
        self.tower, self._seed, self._images = tower, seed, images
        self._config, mining = configs
        self._queries = AdaptedQueries(foundation, tower)
        device = foundation.device
        self._dev = {name: dev.on(device) for name, (_, dev) in sides.items()}
        self._texts = texts
        self._text_dev = {name: dev.on(device) for name, dev in texts.dev.items()} if texts else {}
        train = [part.on(device) for part, _ in sides.values() if len(part)]
        batch = self._config.batch
        self._pictures = (
            PictureContrast(self._queries, images, train, mining, batch, seed) if train else None
        )
        self._anchor = AnchorLoss(self._queries, captions, self._config.anchor_texts)

    def groups(self) -> Sequence[ParameterGroup]:
        """The adapters."""
        return [ParameterGroup(tuple(self.tower.trained().values()), self._config.rate)]

    def loss(self, step: int) -> Tensor:
        """Contrasts of one batch as one query side puts it, and the anchor."""
        config, losses = self._config, []
        if self._pictures:
            self._pictures.refresh(step, config.blend)
        self.tower.train()
        generator = np.random.default_rng((self._seed, step))
        if self._pictures:
            blend, temperature = config.blend, config.temperature
            losses.append(self._pictures.loss(step, blend, temperature, generator))
        batch = self._texts.training.batch(step) if self._texts and self._texts.training else None
        if config.anchor_weight:
            sentences = self._image_sentences(step, batch)
            losses.append(config.anchor_weight * self._anchor.loss(sentences, generator))
        if batch is not None:
            losses.append(batch.weight * self._text_loss(batch))
        return torch.stack(losses).sum()

    def evaluate(self) -> dict[str, float]:
        """Recall on the dev triplets (percent, mean over sides); how far captions have moved.

        Where there are pictures, they are `dev`, and text triplets are `texts`.
        """
        figures: dict[str, float] = {}
        if self._dev:
            figures |= self._figures("dev", self._dev, self._images, self._config.blend)
        if self._texts:
            name = "texts" if self._dev else "dev"
            figures |= self._figures(name, self._text_dev, self._texts.texts, BlendSettings())
        figures["anchor/cosine"] = self._anchor.cosine()
        return figures

    def state(self) -> dict[str, Tensor]:
        """The order of the hard negatives, for checkpoints."""
        pools = self._pictures.negatives.pools if self._pictures else {}
        return {kind: torch.from_numpy(pool) for kind, pool in pools.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the order that a checkpoint has."""
        if self._pictures:
            pools = {kind: pool.numpy() for kind, pool in state.items()}
            self._pictures.negatives.pools = pools

    def queries(self, part: FrozenTriplets) -> Tensor:
        """Blended queries of a whole part with the weights as they are, (m, D), no gradient."""
        return self._queries.every(part, self._config.blend)

    def _figures(
        self,
        name: str,
        parts: Mapping[str, FrozenTriplets],
        searched: FloatArray,
        blend: BlendSettings,
    ) -> dict[str, float]:
        found = {
            side: recalls(self._queries.every(part, blend).numpy() @ searched.T, part.indexed)
            for side, part in parts.items()
        }
        figures = {
            f"{name}/{k}": float(np.mean([one[k] for one in found.values()]))
            for k in next(iter(found.values()))
        }
        figures[f"{name}/mean_recall"] = float(np.mean(list(figures.values())))
        if len(found) > 1:
            for side, one in found.items():
                figures[f"{name}/{side}/mean_recall"] = float(np.mean(list(one.values())))
        return figures

    def _text_loss(self, batch: TextBatch) -> Tensor:
        """Contrast of sentences alone with what texts can say of their targets."""
        composed = self._queries.sentences(batch.templates.composed, batch.tokens, batch.texts)
        queries = self._queries.foundation.text_aligned(composed)
        return hard_negative_contrast(
            queries, batch.targets, batch.negatives, batch.valid, batch.temperature
        )

    def _image_sentences(self, step: int, batch: TextBatch | None) -> ImageSentences | None:
        """References of a step: of pictures, or where there are none of texts."""
        count = self._config.anchor_images
        if self._pictures:
            return self._pictures.image_sentences(step, count)
        if batch is None or not count:
            return None
        template, tokens = batch.templates.image, batch.tokens[:count]
        with torch.no_grad():
            foundation, tower = self._queries.foundation, self.tower.frozen
            frozen = encode_sentences(foundation, tower, template, tokens).vectors
        return ImageSentences(template, tokens, frozen)
