"""What real word embeddings look like, and vectors made to look like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Likeness: TypeAlias = Literal["statistics", "norm", "none"]


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """Statistics of word embeddings.

    Attributes:
        mean: (Dw,) float32.
        deviation: (Dw,) float32, standard deviation by coordinate.
        norm: Mean Euclidean norm.
    """

    mean: Tensor
    deviation: Tensor
    norm: float

    @classmethod
    def of(cls, words: Tensor, used: Tensor) -> WordStatistics:
        """Statistics of a table, in which a word counts as often as it is used.

        Args:
            words: (vocabulary, Dw).
            used: (uses,) int64, rows of the table, two different ones at least.
        """
        shares = torch.bincount(used, minlength=len(words)).to(words.dtype)[:, None] / len(used)
        mean = (shares * words).sum(0)
        variance = (shares * (words - mean).square()).sum(0)
        norm = (shares[:, 0] * words.norm(dim=1)).sum()
        return cls(mean, variance.sqrt(), float(norm))


class WordLike(nn.Module):
    """Brings raw pseudo-words to where word embeddings live; nothing is trained.

    Attributes:
        mean: (Dw,), the mean word.
        deviation: (Dw,).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, words: WordStatistics, likeness: Likeness = "statistics") -> None:
        """Keep the statistics."""
        super().__init__()
        self.likeness, self.norm = likeness, words.norm
        self.register_buffer("mean", words.mean.detach().clone(), persistent=False)
        self.register_buffer("deviation", words.deviation.detach().clone(), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """(..., Dw) to the same shape."""
        if self.likeness == "statistics":
            return self.mean + self.deviation * functional.layer_norm(raw, self.mean.shape)
        if self.likeness == "norm":
            return self.norm * functional.normalize(raw, dim=-1)
        return raw
