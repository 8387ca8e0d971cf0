"""What real word embeddings look like, and vectors made to look like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional

Likeness: TypeAlias = Literal["statistics", "norm", "none"]


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """Statistics of a table of word embeddings, frames and unused entries included.

    Attributes:
        mean: (Dw,) float32.
        deviation: (Dw,) float32, standard deviation by coordinate.
        norm: Mean Euclidean norm.
    """

    mean: Tensor
    deviation: Tensor
    norm: float

    @classmethod
    def of(cls, words: Tensor) -> WordStatistics:
        """Statistics of a table (vocabulary, Dw)."""
        return cls(words.mean(0), words.std(0), float(words.norm(dim=1).mean()))


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
