"""What the loop trains for the packaged model: heads and upper blocks of both towers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from composir.errors import TrainingError
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
        features, rows = [], []
        for name, count in self.config.batch.items():
            chosen = self._draw(name, step, count)
            features.append(self._features(self.banks[name], chosen, generator))
            rows += [self._text_row(self.banks[name].pictures[row], generator) for row in chosen]
        targets = soft_targets(
            self.texts.sentences[rows], self.config.soft_share, self.config.soft_temperature
        )
        images = self._encode_images(torch.cat(features))
        texts = self._encode_texts(rows)
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        return contrastive_loss(images, texts, targets.to(self.device), scale)

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
