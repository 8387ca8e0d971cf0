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
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import TrainingError


@dataclass(frozen=True, slots=True)
class AppearanceConfig:
    """How the appearance part is made.

    Attributes:
        width: Of `u`; 0 for a model without one.
        weight: `w`, how much appearance counts beside meaning where pictures meet.
        rate: Peak learning rate.
        temperature: Of the contrast.
        dropout: On the features.
        kin: By source, how many pairs of kin a batch holds (`TrainingPicture.kin`).
        views: By source, how many pairs of the first and the last view of one picture (of a source
            with a single view the same features, under two dropouts).
    """

    width: int = 256
    weight: float = 1.4
    rate: float = 3e-4
    temperature: float = 0.1
    dropout: float = 0.2
    kin: dict[str, int] = field(
        default_factory=lambda: {"fashion-recolour": 96, "pacs-domains": 84}
    )
    views: dict[str, int] = field(
        default_factory=lambda: {
            "flickr8k-train": 128,
            "fashion-recolour": 48,
            "grocery-train": 32,
            "clothing-train": 32,
        }
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            TrainingError: If a number is out of range.
        """
        if self.width < 0 or min(self.weight, self.temperature, self.rate) <= 0:
            raise TrainingError(
                "appearance: width at least 0; weight, temperature and rate above 0"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise TrainingError("appearance: 0 <= dropout < 1")
        counts = (*self.kin.values(), *self.views.values())
        if min(counts, default=0) < 0 or (self.width and not any(counts)):
            raise TrainingError("appearance: kin and views at least 0, and not all of them 0")


class Appearance(nn.Module):
    """`u = normalise(W mean(f) + b)` of the trunk's feature map `f`.

    Attributes:
        weight: `w`.
    """

    def __init__(self, channels: int, width: int, weight: float) -> None:
        """Build with random weights.

        Args:
            channels: Of the feature map.
            width: Of `u`.
            weight: `w`.
        """
        super().__init__()
        self.project = nn.Linear(channels, width)
        self.weight = weight

    def start(self, features: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
        """Start as the whitened principal components of some pictures.

        Args:
            features: (n, channels), averaged features.

        Raises:
            TrainingError: If there are fewer pictures or channels than the part is wide.
        """
        width = self.project.out_features
        if min(features.shape) < width:
            raise TrainingError(
                f"appearance.width is {width}, more than {len(features)} training pictures of "
                f"{features.shape[1]} channels can fill: set it lower"
            )
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov((rows - mean).T))
        matrix = (axes[:, ::-1] / np.sqrt(np.maximum(values[::-1], 1e-8)))[:, :width].T
        # Scaled as a whole, which the norm undoes, so that the learning rate means the same always.
        matrix /= np.abs(matrix).mean() * math.sqrt(rows.shape[1])
        with torch.no_grad():
            self.project.weight.copy_(torch.from_numpy(matrix.copy()))
            self.project.bias.copy_(torch.from_numpy(-matrix @ mean))

    def forward(self, pooled: Tensor) -> Tensor:
        """Averaged features (n, channels) to `u` (n, width), unit norm."""
        return functional.normalize(self.project(pooled), dim=-1)

    def beside(self, meaning: Tensor, pooled: Tensor) -> Tensor:
        """The whole vector, (n, D): `meaning` (n, Dm) and `u`, both of unit norm, side by side."""
        joined = torch.cat([meaning, self.weight * self(pooled)], dim=-1)
        return joined / math.sqrt(1.0 + self.weight**2)


def meaning_part(vectors: Tensor, width: int) -> Tensor:
    """Vectors as texts see them: unit norm without their last `width` coordinates, zeros there.

    Args:
        vectors: (n, D).
        width: Of the appearance part; with 0 the vectors come back as they are.
    """
    if not width:
        return vectors
    meaning = functional.normalize(vectors[:, :-width], dim=-1)
    return torch.cat([meaning, torch.zeros_like(vectors[:, -width:])], dim=-1)


def kin_loss(left: Tensor, right: Tensor, groups: Tensor, temperature: float) -> Tensor:
    r"""Symmetric InfoNCE over pairs, in which members of one group are no negatives.

    $$ L = \tfrac12 \sum_{(a, b)} -\frac1n \sum_i \log \frac{e^{a_i^\top b_i / \tau}}
         {\sum_{j \notin G_i \setminus i} e^{a_i^\top b_j / \tau}} $$

    over `(a, b)` both ways round, `G_i` the places of row i's group.

    Args:
        left: (n, d), unit norm.
        right: (n, d), unit norm; row i is the partner of left's row i.
        groups: (n,) int64.
        temperature: τ.
    """
    groups = groups.to(left.device)
    same = groups[:, None] == groups[None]
    same.fill_diagonal_(fill_value=False)
    logits = (left @ right.T / temperature).masked_fill(same, float("-inf"))
    own = torch.arange(len(left), device=left.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
