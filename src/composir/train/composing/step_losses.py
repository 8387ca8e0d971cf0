"""What a step of stage 2 is made of: queries through the adapted tower, contrast, and the anchor.

The anchor holds an adapted tower near the frozen one: captions and image-only sentences stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from composir.errors import TrainingError
from composir.train.blend import BlendSettings, blended
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.frozen_triplets import FrozenTriplets, Rows
from composir.train.composing.mining import NONE, HardNegatives, MiningConfig
from composir.train.frozen import FrozenFoundation
from composir.train.loop import drawn_rows, full_precision
from composir.train.losses import cosine_loss, hard_negative_contrast
from composir.train.sentences import encode_sentences, read_embedded
from composir.types import FloatArray

EVALUATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class AdaptedQueries:
    """Sentences and blends of a tower with adapters."""

    foundation: FrozenFoundation
    tower: AdaptedTower

    def sentences(
        self, template: str, tokens: Sequence[Tensor], texts: Sequence[str] | None = None
    ) -> Tensor:
        """Vectors (n, D) of n sentences with pseudo-words, read with adapters."""
        tower = self.tower.adapted
        return encode_sentences(self.foundation, tower, template, tokens, texts).vectors

    def some(self, part: FrozenTriplets, rows: Rows, blend: BlendSettings) -> Tensor:
        """Blended queries of some triplets, (b, D)."""
        texts = [part.indexed.texts[row] for row in rows]
        tokens = [part.tokens[row] for row in rows]
        composed = self.sentences(part.templates.composed, tokens, texts)
        text = torch.from_numpy(part.indexed.text_vectors[rows]).to(composed.device)
        return blended(blend, composed, part.sentences[rows], part.vectors[rows], text)

    def every(self, part: FrozenTriplets, blend: BlendSettings) -> Tensor:
        """Blended queries of a whole part with the weights as they are, (m, D), no gradient.

        They come as float32 on the CPU, in a loss too.
        """
        self.tower.train(mode=False)
        rows = np.arange(len(part))
        with torch.inference_mode(), full_precision(self.foundation.device):
            blocks = [
                self.some(part, rows[at : at + EVALUATION_BATCH], blend)
                for at in range(0, len(rows), EVALUATION_BATCH)
            ]
        return torch.cat(blocks).cpu()


@dataclass(frozen=True, slots=True)
class ImageSentences:
    """n sentences without a modification, and where the frozen tower puts them, (n, D)."""

    template: str
    tokens: Sequence[Tensor]
    vectors: Tensor


class AnchorLoss:
    """`1 - cosine` of the adapted tower to the frozen one."""

    def __init__(self, queries: AdaptedQueries, captions: Sequence[str], count: int) -> None:
        """Encode the captions, which may be none; `count` of them are read a step."""
        self._queries, self._count = queries, count
        self._captions = tuple(dict.fromkeys(captions))
        self._vectors = None
        if self._captions:
            self._vectors = queries.foundation.encode_texts(self._captions)

    def loss(self, sentences: ImageSentences | None, generator: np.random.Generator) -> Tensor:
        """Of some captions, drawn with the generator, and of the sentences."""
        losses = []
        if self._vectors is not None and self._count:
            count = min(self._count, len(self._captions))
            chosen = generator.choice(len(self._captions), count, replace=False)
            moved = self._plain([self._captions[row] for row in chosen])
            losses.append(cosine_loss(moved, self._vectors[chosen]))
        if sentences is not None and len(sentences.tokens):
            moved = self._queries.sentences(sentences.template, sentences.tokens)
            losses.append(cosine_loss(moved, sentences.vectors))
        device = self._queries.foundation.device
        return torch.stack(losses).mean() if losses else torch.zeros((), device=device)

    def cosine(self) -> float:
        """Mean cosine of captions to where the frozen tower puts them; 1 where there are none."""
        if self._vectors is None:
            return 1.0
        with torch.inference_mode():
            moved = self._plain(self._captions[:EVALUATION_BATCH])
        return float((moved * self._vectors[: len(moved)]).sum(-1).mean())

    def _plain(self, texts: Sequence[str]) -> Tensor:
        """Sentences without pseudo-words through the adapted tower, (n, D)."""
        foundation = self._queries.foundation
        words = [foundation.embed(ids) for ids in foundation.model.texts.tokenise(texts)]
        return read_embedded(foundation, self._queries.tower.adapted, words).vectors


class PictureContrast:
    """The loss of triplets of pictures, which query sides put in turn."""

    def __init__(
        self,
        queries: AdaptedQueries,
        images: FloatArray,
        parts: Sequence[FrozenTriplets],
        mining: MiningConfig,
        batch: int,
        seed: int,
    ) -> None:
        """Find the hard negatives' candidates among images, (n, D) float32, unit norm.

        All parts are of the same triplets, as the query sides put them.
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
        answers = [sorted(self._triplets.targets[row]) for row in rows]
        targets = np.array([own[generator.integers(len(own))] for own in answers], dtype=np.int64)
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
        return np.array(drawn_rows(len(self._triplets), step, self._batch, self._seed))

    def _mask(self, rows: Rows, targets: Rows, negatives: Rows) -> Tensor:
        """Which columns count: no in-batch image that answers the query, no empty place."""
        answers = [self.negatives.answers(int(row)) for row in rows]
        others = np.array([[target not in own for target in targets.tolist()] for own in answers])
        np.fill_diagonal(others, val=True)
        counts = np.concatenate([others, negatives != NONE], axis=1)
        return torch.from_numpy(counts).to(self._device)
