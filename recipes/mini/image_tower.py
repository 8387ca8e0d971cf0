"""mini's gallery tower: EfficientNet-Lite and an attention-pooling head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.foundation.appearance import AppearancePart, look_at
from composir.foundation.name_part import NamePart
from composir.train.isa.efficientnet_lite import HEAD_CHANNELS, EfficientNetLite


class AttentionPool(nn.Module):
    """Learned queries, one a head, pool the feature map; each pooled vector has its own projection.

    Pooling before projecting costs a twentieth of projecting every position, and the first head
    starts as plain average pooling, the summary that ImageNet trained the trunk for.
    """

    def __init__(self, channels: int, dimension: int, heads: int = 8, dropout: float = 0.1) -> None:
        """Build a head from `channels` to `dimension`."""
        super().__init__()
        self.attention = nn.Linear(channels, heads)
        nn.init.normal_(self.attention.weight, std=channels**-0.5)
        with torch.no_grad():
            self.attention.weight[0].zero_()
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(heads * channels, dimension)
        expand, contract = nn.Linear(dimension, 4 * dimension), nn.Linear(4 * dimension, dimension)
        nn.init.zeros_(contract.weight)
        self.correction = nn.Sequential(
            nn.LayerNorm(dimension), expand, nn.GELU(), nn.Dropout(dropout), contract
        )

    def forward(self, features: Tensor) -> Tensor:
        """Feature map (n, channels, h, w) to vectors (n, D), unit norm."""
        return self.from_pooled(self.pool(features))

    def pool(self, features: Tensor) -> Tensor:
        """The feature map's mean as each head weights it, (n, heads, channels)."""
        tokens = features.flatten(2).transpose(1, 2)
        weights: Tensor = self.attention(tokens).softmax(dim=1)
        return weights.transpose(1, 2) @ tokens

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """What `pool` gives to vectors (n, D), unit norm."""
        vector = self.project(self.dropout(self.norm(pooled)).flatten(1))
        return functional.normalize(vector + self.correction(vector), dim=-1)


class ImageTower(nn.Module):
    """Trunk and head.

    Attributes:
        trunk: EfficientNet-Lite; its lower part stays frozen.
        head: To the shared space.
        names: What adds the names of what is seen; None where there is none.
        appearance: The part beside it that no text is compared with; None where there is none.
    """

    def __init__(self, trunk: EfficientNetLite, dimension: int) -> None:
        """Put a new head on a trunk."""
        super().__init__()
        self.trunk = trunk
        self.head = AttentionPool(HEAD_CHANNELS, dimension)
        self.names: NamePart | None = None
        self.appearance: AppearancePart | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (n, 3, side, side) to vectors (n, D), unit norm."""
        spatial, statistics = self.trunk.climb(pixels)
        return self.from_map(self.trunk.widen(spatial), statistics)

    def from_cached(self, features: Tensor) -> Tensor:
        """Cached lower features (n, c, s, s) to vectors (n, Dm), unit norm: the meaning alone."""
        vectors: Tensor = self.head(self.trunk.upper(features))
        return vectors

    def from_map(self, features: Tensor, statistics: Tensor) -> Tensor:
        """The trunk's feature map (n, channels, h, w) and statistics of its stages to vectors."""
        pooled = self.head.pool(features)
        vectors = self.head.from_pooled(pooled)
        if self.names is not None:
            vectors = self.names(vectors, pooled[:, 0])
        if self.appearance is None:
            return vectors
        return self.appearance.beside(vectors, look_at(features, statistics))
