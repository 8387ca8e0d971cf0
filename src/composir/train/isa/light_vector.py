"""The light side's own estimate of the reference's gallery vector, which travels with the tokens.

[ours] Methods.md, section 3, blends composed sentences with the reference's vector v; on a device
there is no gallery encoder to make v. A perceptron on the averaged feature map stands in for it:
distilled from v, it keeps what pseudo-words, which have to pass through the text tower, lose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import TrainingError
from composir.train.isa.losses import distillation_loss


@dataclass(frozen=True, slots=True)
class LightVectorConfig:
    """The estimate of v, of the asymmetric side alone: the symmetric one has v itself.

    Attributes:
        weight: Of its loss; 0 for a query side without a vector, the paper's.
        width: Hidden width of the perceptron.
        temperature: Of the distillation, for teacher and student.
        cosine_weight: Of one minus the cosine to v, beside the distillation.
        dropout: On the hidden units.
    """

    weight: float = 1.0
    width: int = 512
    temperature: float = 0.05
    cosine_weight: float = 10.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            TrainingError: If a number is out of range.
        """
        if min(self.weight, self.cosine_weight) < 0 or self.width < 1 or self.temperature <= 0:
            raise TrainingError(
                "light_vector: weights of at least 0, width of at least 1, temperature above 0"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise TrainingError("light_vector: 0 <= dropout < 1")


class LightVector(nn.Module):
    """`normalise(W0 z + W2 gelu(W1 z))`, z the standardised average of the feature map."""

    def __init__(self, channels: int, dimension: int, config: LightVectorConfig) -> None:
        """Build with random weights.

        Args:
            channels: C of the feature map.
            dimension: D of the gallery's vectors.
            config: The choices.
        """
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(channels)
        self.straight = nn.Linear(channels, dimension)
        self.hidden = nn.Linear(channels, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.width, dimension)

    def forward(self, features: Tensor) -> Tensor:
        """Estimate the vectors; (n, C, h, w) to (n, D) of unit norm."""
        pooled = self.norm(features.mean(dim=(2, 3)))
        bent = self.out(self.dropout(functional.gelu(self.hidden(pooled))))
        return functional.normalize(self.straight(pooled) + bent, dim=-1)


def light_vector_loss(
    estimates: Tensor, targets: Tensor, config: LightVectorConfig, valid: Tensor | None = None
) -> Tensor:
    r"""Distillation of the teacher's ranking, and closeness to the teacher's vector.

    $$ L = L_d(\hat v, B) + \lambda \frac1n \sum_i (1 - \hat v_i^\top v_i) $$

    with `L_d` of `losses.distillation_loss`.

    Args:
        estimates: (n, D), the light side's vectors.
        targets: (n + q, D), `B`: the pictures' own gallery vectors, then the queue's.
        config: Temperature and λ.
        valid: (n, n + q) bool, as in `losses.contrastive_loss`.
    """
    ranked = distillation_loss(estimates, targets, config.temperature, config.temperature, valid)
    own = targets[: len(estimates)]
    cosine = torch.sum(estimates * own, dim=1)
    return ranked + config.cosine_weight * (1.0 - cosine).mean()
