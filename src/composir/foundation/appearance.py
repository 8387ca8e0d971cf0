"""The appearance part of a gallery vector: what texts do not say, kept beside what they do.

[ours] Trained against texts alone, a tower forgets whatever no caption tells apart: which of two
hundred black shirts this is. A composed query asks for just that, "this one, but in brown". So a
gallery vector is two parts side by side, `[m ; w u] / sqrt(1 + w^2)`: the meaning `m`, which texts
are compared with, and the appearance `u`, a linear map of the trunk's averaged features and of mean
and spread of its stages' channels, which see textures that the last map has forgotten. Vectors of
texts end in zeros there: their cosines to all pictures shrink by the same factor, so that no order
of a search by words changes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class AppearancePart(nn.Module):
    """`u = normalise(W (s * x) + b)` of a look `x` at a picture, of the weight `w`.

    A part that reads fewer numbers than a look has reads the first of them: those that were trained
    before looks had statistics, the average alone.

    Attributes:
        scale: `s`, one over each number's spread; without it those of the lower stages would weigh
            by how large they happen to be.
    """

    scale: Tensor

    def __init__(self, reads: int, width: int, weight: float) -> None:
        super().__init__()
        self.project = nn.Linear(reads, width)
        self.weight = weight
        self.register_buffer("scale", torch.ones(reads))

    def forward(self, look: Tensor) -> Tensor:
        """Looks (n, reads or more) to `u` (n, width), unit norm."""
        scaled = look[:, : self.scale.shape[0]] * self.scale
        return functional.normalize(self.project(scaled), dim=-1)

    def beside(self, meaning: Tensor, look: Tensor) -> Tensor:
        """The whole vector, (n, D): `meaning` (n, Dm) and `u`, both of unit norm, side by side."""
        joined = torch.cat([meaning, self.weight * self(look)], dim=-1)
        return joined / math.sqrt(1.0 + self.weight**2)


def look_at(features: Tensor, statistics: Tensor) -> Tensor:
    """What the part reads of a picture.

    Args:
        features: (n, channels, h, w), the trunk's feature map, of which the average is read.
        statistics: (n, k), of the stages below: texture and colour, which the last map forgets.

    Returns:
        (n, channels + k).
    """
    return torch.cat([features.mean(dim=(2, 3)), statistics], dim=1)


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
