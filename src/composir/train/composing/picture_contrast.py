"""Contrast of composed queries with the pictures they ask for, and with hard negatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from composir.errors import TrainingError
from composir.train.blend import BlendSettings
from composir.train.composing.adapted_queries import AdaptedQueries
from composir.train.composing.anchor_loss import ImageSentences
from composir.train.composing.frozen_triplets import FrozenTriplets
from composir.train.composing.mining import NONE, HardNegatives, MiningConfig, Rows
from composir.train.draws import drawn_rows
from composir.train.losses import hard_negative_contrast
from composir.types import FloatArray


class PictureContrast:
    """The loss of triplets of pictures, which query sides put in turn.

    Attributes:
        negatives: Hard negatives of every triplet.
    """

    def __init__(
        self,
        queries: AdaptedQueries,
        images: FloatArray,
        parts: Sequence[FrozenTriplets],
        mining: MiningConfig,
        batch: int,
        seed: int,
    ) -> None:
        """Prepare; the hard negatives' candidates are found here.

        Args:
            queries: Through the adapted tower.
            images: (n, D) float32, unit norm: vectors of all images.
            parts: Training triplets of every query side; all of the same triplets.
            mining: Hard negatives.
            batch: Triplets a step.
            seed: Of order and draws.
        """
        self._triplets = parts[0].indexed
        count = len(self._triplets)
        if count < batch:
            raise TrainingError(
                f"{count} training triplets are fewer than a batch of {batch}: "
                "bring more, or set composing.batch lower (--set composing.batch=16)"
            )
        self._queries, self._parts, self._batch, self._seed = queries, parts, batch, seed
        self._device = queries.foundation.device
        self._images = torch.from_numpy(images).to(self._device)
        self.negatives = HardNegatives(self._triplets, images, mining, seed)

    def refresh(self, step: int, blend: BlendSettings) -> None:
        """Renew the order of the hard negatives where that is due.

        The first side orders for all: candidates are the same for every side, and encoding all
        training queries is what costs, so more sides do not make it slower.
        """
        if self.negatives.refresh_due(step):
            self.negatives.refresh(self._queries.every(self._parts[0], blend).numpy())

    def loss(
        self, step: int, blend: BlendSettings, temperature: float, generator: np.random.Generator
    ) -> Tensor:
        """Contrast of one batch of triplets as one query side puts them."""
        rows = self._rows(step)
        targets = self._targets(rows, generator)
        negatives = self.negatives.draw(rows, step)
        return hard_negative_contrast(
            self._queries.some(self._part(step), rows, blend),
            self._images[targets],
            self._images[np.maximum(negatives, 0)],
            self._mask(rows, targets, negatives),
            temperature,
        )

    def image_sentences(self, step: int, count: int) -> ImageSentences:
        """What the frozen tower says of the first references of a step."""
        part, rows = self._part(step), self._rows(step)[:count]
        tokens = [part.tokens[row] for row in rows]
        return ImageSentences(part.templates.image, tokens, part.sentences[rows])

    def _part(self, step: int) -> FrozenTriplets:
        return self._parts[step % len(self._parts)]

    def _rows(self, step: int) -> Rows:
        drawn = drawn_rows(len(self._triplets), step, self._batch, self._seed)
        return np.asarray(drawn, dtype=np.int64)

    def _targets(self, rows: Rows, generator: np.random.Generator) -> Rows:
        """One of the targets of each triplet, (b,)."""
        answers = [sorted(self._triplets.targets[row]) for row in rows]
        return np.array([own[generator.integers(len(own))] for own in answers], dtype=np.int64)

    def _mask(self, rows: Rows, targets: Rows, negatives: Rows) -> Tensor:
        """Which columns count: no in-batch image that answers the query, no empty place."""
        answers = [self.negatives.answers(int(row)) for row in rows]
        others = np.array([[target not in own for target in targets.tolist()] for own in answers])
        np.fill_diagonal(others, val=True)
        counts = np.concatenate([others, negatives != NONE], axis=1)
        return torch.from_numpy(counts).to(self._device)
