"""What the loop trains for the packaged model: heads and upper blocks of both towers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from composir.errors import TrainingError
from composir.train.foundation.attributes import (
    attribute_loss,
    batch_values,
    draw_phrases,
    find_attributes,
)
from composir.train.foundation.corpus import Split, TrainingPicture
from composir.train.foundation.efficientnet_lite import CACHE_STAGE
from composir.train.foundation.features import HalfArray, channels_last
from composir.train.foundation.image_tower import ImageTower
from composir.train.foundation.losses import contrastive_loss, soft_targets
from composir.train.foundation.text_tower import TextTower
from composir.train.foundation.texts import TextBank
from composir.train.loop import ParameterGroup

EVALUATION_BATCH = 64
MAX_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class ContrastConfig:
    """Batches, learning rates and targets.

    Attributes:
        batch: Pictures of each source in a batch.
        head_rate: Peak learning rate of both heads.
        text_rate: Of the trained text blocks.
        image_rate: Of the trained image stages.
        text_blocks: How many of the last text blocks are trained.
        image_stages: Train the image stages above the cache: banks then hold features of the lower
            trunk. Else only the head is trained, and banks hold features of the whole trunk.
        soft_share: Share of the target that goes by sentence similarity.
        soft_temperature: Of that similarity.
        soft_sources: Sources whose rows have such soft targets; none means all. (Titles that differ
            in the colour alone are alike to a sentence encoder, and must not be to us.)
        attribute_weight: Of the mean attribute loss; 0 leaves attributes out.
        attribute_weights: Weights of single attributes in that mean, 1 where not named.
        shared_text: How often a picture that has one is described by the text it shares with its
            variants.
        initial_scale: Inverse temperature at the start; it is learnt.
    """

    batch: dict[str, int] = field(default_factory=dict)
    head_rate: float = 1e-3
    text_rate: float = 5e-5
    image_rate: float = 1e-4
    text_blocks: int = 3
    image_stages: bool = False
    soft_share: float = 0.0
    soft_temperature: float = 0.07
    soft_sources: tuple[str, ...] = ()
    attribute_weight: float = 0.0
    attribute_weights: dict[str, float] = field(default_factory=dict)
    shared_text: float = 0.0
    initial_scale: float = 20.0


@dataclass(frozen=True, slots=True)
class Bank:
    """One source's pictures and their cached features, a view an entry."""

    pictures: Sequence[TrainingPicture]
    views: Sequence[HalfArray]

    def rows(self, split: Split) -> list[int]:
        """Rows of one split."""
        return [row for row, picture in enumerate(self.pictures) if picture.split == split]


class ContrastTask:
    """Contrast of pictures and texts over cached features (`train.loop.Task`)."""

    def __init__(
        self,
        towers: tuple[ImageTower, TextTower],
        banks: Mapping[str, Bank],
        texts: TextBank,
        config: ContrastConfig,
        seed: int,
    ) -> None:
        """Prepare.

        Args:
            towers: Image and text tower; frozen parts are frozen here.
            banks: By source, features as `config.image_stages` says.
            texts: All texts of the banks.
            config: Batches and rates.
            seed: Of the order of pictures and the choice of texts and views.

        Raises:
            TrainingError: If a source of the batch has no training pictures.
        """
        self.image, self.text = towers
        self.banks, self.texts, self.config, self.seed = banks, texts, config, seed
        self.device = self.text.positions.device
        self.log_scale = nn.Parameter(
            torch.tensor(math.log(config.initial_scale), device=self.device)
        )
        self._train_rows = {name: bank.rows("train") for name, bank in banks.items()}
        empty = [name for name in config.batch if not self._train_rows.get(name)]
        if empty:
            raise TrainingError(f"no training pictures of {', '.join(empty)}")
        self.attributes = [
            one for name, bank in banks.items() for one in find_attributes(bank.pictures, name)
        ]
        self._freeze()

    def groups(self) -> Sequence[ParameterGroup]:
        """Heads, temperature, text blocks and (if trained) image stages."""
        config = self.config
        heads = (*self.image.head.parameters(), *self.text.head.parameters(), self.log_scale)
        groups = [ParameterGroup(heads, config.head_rate)]
        if config.text_blocks:
            blocks = tuple(p for block in self._text_blocks() for p in block.parameters())
            groups.append(ParameterGroup(blocks, config.text_rate))
        if config.image_stages:
            stages = tuple(p for stage in self._image_stages() for p in stage.parameters())
            groups.append(ParameterGroup(stages, config.image_rate))
        return groups

    def loss(self, step: int) -> Tensor:
        """Contrast of one batch."""
        self.image.train()
        self.text.train()
        generator = np.random.default_rng((self.seed, step))
        drawn = {n: self._draw(n, step, count) for n, count in self.config.batch.items() if count}
        features = [self._features(self.banks[n], rows, generator) for n, rows in drawn.items()]
        rows = [
            self._text_row(self.banks[name].pictures[row], generator)
            for name, chosen in drawn.items()
            for row in chosen
        ]
        images = self._encode_images(torch.cat(features))
        texts = self._encode_texts(rows)
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        loss = contrastive_loss(images, texts, self._targets(drawn, rows), scale)
        if self.config.attribute_weight:
            attributes = self._attribute_loss(drawn, images, scale, generator)
            loss = loss + self.config.attribute_weight * attributes
        return loss

    def _targets(self, drawn: Mapping[str, Sequence[int]], rows: Sequence[int]) -> Tensor:
        config = self.config
        softened = config.soft_sources or tuple(drawn)
        shares = [config.soft_share * (name in softened) for name, r in drawn.items() for _ in r]
        share = torch.tensor(shares)[:, None]
        targets = soft_targets(self.texts.sentences[rows], share, config.soft_temperature)
        return targets.to(self.device)

    def _attribute_loss(
        self,
        drawn: Mapping[str, Sequence[int]],
        images: Tensor,
        scale: Tensor,
        generator: np.random.Generator,
    ) -> Tensor:
        """Weighted mean over the attributes of the sources in the batch."""
        starts = dict(zip(drawn, np.cumsum([0, *map(len, drawn.values())]).tolist(), strict=False))
        used = [one for one in self.attributes if one.source in drawn]
        phrases = [draw_phrases(one, generator) for one in used]
        encoded = self._encode_texts([self.texts.index[t] for texts in phrases for t in texts])
        total = images.sum() * 0.0
        parts = torch.split(encoded, [len(texts) for texts in phrases])
        for one, vectors in zip(used, parts, strict=True):
            chosen = drawn[one.source]
            own = images[starts[one.source] : starts[one.source] + len(chosen)]
            values = batch_values(one, chosen, self.device)
            weight = self.config.attribute_weights.get(one.name, 1.0)
            total = total + weight * attribute_loss(own, vectors, values, scale)
        return total / max(1, len(used))

    def evaluate(self) -> dict[str, float]:
        """Text-to-image recall (percent) on the dev part of each source with free texts."""
        figures: dict[str, float] = {}
        self.image.eval()
        self.text.eval()
        with torch.no_grad():
            for name in ("flickr8k-train", "fashion-recolour"):
                if name in self.banks and self.banks[name].rows("dev"):
                    figures |= self._recalls(name)
        return figures

    def _recalls(self, name: str) -> dict[str, float]:
        bank = self.banks[name]
        rows = bank.rows("dev")
        images = torch.cat(
            [
                self._encode_images(
                    torch.from_numpy(bank.views[0][rows[at : at + EVALUATION_BATCH]])
                )
                for at in range(0, len(rows), EVALUATION_BATCH)
            ]
        )
        pairs = [
            (self.texts.index[text], target)
            for target, row in enumerate(rows)
            for text in bank.pictures[row].texts[: 5 if name == "flickr8k-train" else 1]
        ]
        texts = torch.cat(
            [
                self._encode_texts([row for row, _ in pairs[at : at + 256]])
                for at in range(0, len(pairs), 256)
            ]
        )
        scores = texts @ images.T
        truth = torch.tensor([target for _, target in pairs], device=scores.device)
        rank = (scores >= scores.gather(1, truth[:, None])).sum(1)
        return {f"{name}/recall@{k}": 100.0 * float((rank <= k).float().mean()) for k in (1, 5, 10)}

    def _encode_images(self, features: Tensor) -> Tensor:
        moved = features.to(self.device).float()
        if not self.config.image_stages:
            vectors: Tensor = self.image.head(moved)
            return vectors
        return self.image.from_cached(channels_last(moved))

    def _encode_texts(self, rows: Sequence[int]) -> Tensor:
        return self.texts.encode(self.text, rows, trained=self.config.text_blocks > 0)

    def _draw(self, name: str, step: int, count: int) -> list[int]:
        """The next rows of an endless sequence of seeded shuffles: a function of the step alone."""
        rows = self._train_rows[name]
        positions = range((step - 1) * count, step * count)
        orders = {
            epoch: np.random.default_rng((self.seed, epoch, len(rows))).permutation(len(rows))
            for epoch in {position // len(rows) for position in positions}
        }
        return [rows[orders[p // len(rows)][p % len(rows)]] for p in positions]

    def _features(self, bank: Bank, rows: Sequence[int], generator: np.random.Generator) -> Tensor:
        views = generator.integers(0, len(bank.views), len(rows))
        chosen = [bank.views[view][row] for view, row in zip(views, rows, strict=True)]
        return torch.from_numpy(np.stack(chosen))

    def _text_row(self, picture: TrainingPicture, generator: np.random.Generator) -> int:
        chance = self.config.shared_text
        if chance and picture.shared and generator.random() < chance:
            return self.texts.index[picture.shared]
        return self.texts.index[picture.texts[generator.integers(len(picture.texts))]]

    def _text_blocks(self) -> Sequence[nn.Module]:
        return list(self.text.blocks)[len(self.text.blocks) - self.config.text_blocks :]

    def _image_stages(self) -> Sequence[nn.Module]:
        return [*self.image.trunk.stages[CACHE_STAGE:], self.image.trunk.head]

    def _freeze(self) -> None:
        self.image.requires_grad_(requires_grad=False)
        self.text.requires_grad_(requires_grad=False)
        for group in self.groups():
            for parameter in group.parameters:
                parameter.requires_grad = True
