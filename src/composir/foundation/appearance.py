"""The appearance part of a gallery vector: what texts do not say, kept beside what they do.

[ours] Trained against texts alone, a tower forgets whatever no caption tells apart: which of two
hundred black shirts this is. A composed query asks for just that, "this one, but in brown". So a
gallery vector is two parts side by side, `[m ; w u] / sqrt(1 + w^2)`: the meaning `m`, which texts
are compared with, and the appearance `u`, a linear map of the trunk's averaged features. Vectors of
texts end in zeros there: their cosines to all pictures shrink by the same factor, so that no order
of a search by words changes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class AppearancePart(nn.Module):
    """`u = normalise(W mean(f) + b)` of the trunk's feature map `f`, of the weight `w`."""

    def __init__(self, channels: int, width: int, weight: float) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        self.weight = weight

    def forward(self, pooled: Tensor) -> Tensor:
        """Averaged features (n, channels) to `u` (n, width), unit norm."""
        return functional.normalize(self.project(pooled), dim=-1)

    def beside(self, meaning: Tensor, pooled: Tensor) -> Tensor:
        """The whole vector, (n, D): `meaning` (n, Dm) and `u`, both of unit norm, side by side."""
        joined = torch.cat([meaning, self.weight * self(pooled)], dim=-1)
        return joined / math.sqrt(1.0 + self.weight**2)


def text_aligned_part(vectors: Tensor, width: int) -> Tensor:
    """Vectors as texts see them: unit norm without their last `width` coordinates, zeros there.

    Args:
        vectors: (n, D).
        width: Of the appearance part; with 0 the vectors come back as they are.
    """
    if not width:
        return vectors
    meaning = functional.normalize(vectors[:, :-width], dim=-1)
    return torch.cat([meaning, torch.zeros_like(vectors[:, -width:])], dim=-1)
