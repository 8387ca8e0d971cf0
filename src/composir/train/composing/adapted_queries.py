"""Queries of triplets through the adapted tower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from composir.train.blend import BlendSettings, blended
from composir.train.composing.adapters import AdaptedTower
from composir.train.composing.frozen_triplets import FrozenTriplets
from composir.train.composing.mining import Rows
from composir.train.frozen import FrozenFoundation
from composir.train.loop import full_precision
from composir.train.sentences import encode_sentences

EVALUATION_BATCH = 256


class AdaptedQueries:
    """Sentences and blends of a tower with adapters.

    Attributes:
        foundation: Tokeniser and word embeddings.
        tower: The adapted tower.
    """

    def __init__(self, foundation: FrozenFoundation, tower: AdaptedTower) -> None:
        """Keep both."""
        self.foundation, self.tower = foundation, tower

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
