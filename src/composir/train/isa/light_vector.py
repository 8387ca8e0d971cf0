"""The light side's own estimate of the reference's gallery vector, which travels with the tokens.

[ours] Methods.md, section 3, blends composed sentences with the reference's vector v; on a device
there is no gallery encoder to make v. A small head on the averaged feature map stands in for it:
distilled from v, it keeps what pseudo-words, which have to pass through the text tower, lose. Where
the light network is the gallery's own (`light.name=gallery`), the head starts as the gallery's too.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from composir.foundation.appearance import AppearancePart, look_at
from composir.foundation.name_part import NamePart
from composir.model.bundle import Bundle
from composir.train.config import Between, Dropout, Settings, Temperature, Weight
from composir.train.frozen import read_weights
from composir.train.isa.efficientnet_lite import SameConv
from composir.train.losses import cosine_loss, distillation_loss


class LightVectorConfig(Settings):
    """The estimate of v, of the asymmetric side alone: the symmetric one has v itself.

    Attributes:
        weight: Of its loss; 0 for a query side without a vector, the paper's.
        width: Hidden width of the perceptron; 0 for a linear layer alone.
        temperature: Of the distillation, for teacher and student.
        cosine_weight: Of one minus the cosine to v, beside the distillation.
        dropout: On the hidden units.
    """

    weight: Weight = 1.0
    width: Annotated[int, Between(0, 16_384)] = 512
    temperature: Temperature = 0.05
    cosine_weight: Weight = 10.0
    dropout: Dropout = 0.2


class LightVector(nn.Module):
    """`normalise(W0 z + W2 gelu(W1 z))`, z the standardised average of the feature map.

    Attributes:
        inherited: Whether the linear map starts as the gallery's own head.
        appearance: The gallery's own map to the appearance part, where the linear map starts so;
            else the linear map estimates both parts.
        names: The gallery's own names of pictures, where the linear map starts so and it has them.
    """

    inherited = False

    def __init__(self, channels: int, dimension: int, config: LightVectorConfig) -> None:
        super().__init__()
        self.config = config
        self.appearance: AppearancePart | None = None
        self.names: NamePart | None = None
        self.widen: nn.Module = nn.Identity()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, dimension)
        self.mlp = _perceptron(channels, dimension, config) if config.width else None

    @classmethod
    def of_gallery(cls, bundle: Bundle, config: LightVectorConfig) -> LightVector:
        """Start as the gallery's head with all its attention spread evenly.

        The heads of its attention pooling see one average then, so their projections add up to one
        of an eighth of the size; the perceptron starts at zero.
        """
        weights = read_weights(bundle.file(bundle.manifest.image.graph))
        conv, projection = weights["trunk.head.weight"], weights["head.project.weight"]
        made = cls(len(conv), len(projection), config)
        made.appearance, made.names = read_appearance(bundle), read_names(bundle)
        heads = projection.reshape(len(projection), -1, len(conv))
        widen = SameConv(conv.shape[1], len(conv), 1)
        _fill(widen, conv, weights["trunk.head.bias"])
        _fill(made.norm, weights["head.norm.weight"], weights["head.norm.bias"])
        _fill(made.linear, heads.sum(axis=1), weights["head.project.bias"])
        made.widen = nn.Sequential(widen, nn.ReLU6())
        made.inherited = True
        if made.mlp is not None:
            last = cast(nn.Linear, made.mlp[-1])
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        return made

    def new_parameters(self) -> tuple[nn.Parameter, ...]:
        """Those that start at random."""
        if not self.inherited:
            return tuple(self.parameters())
        return () if self.mlp is None else tuple(self.mlp.parameters())

    def inherited_parameters(self) -> tuple[nn.Parameter, ...]:
        """Those that start as the gallery's, to be trained gently."""
        new = {id(parameter) for parameter in self.new_parameters()}
        return tuple(p for p in self.parameters() if id(p) not in new)

    def forward(self, features: Tensor, statistics: Tensor) -> Tensor:
        """Estimate the vectors.

        Args:
            features: (n, C, h, w), the light network's map.
            statistics: (n, k), of its stages, for the gallery's map to the appearance part.

        Returns:
            (n, D) of unit norm.
        """
        look = look_at(self.widen(features), statistics)
        averaged = look[:, : self.linear.in_features]
        pooled = self.norm(averaged)
        vectors = self.linear(pooled)
        if self.mlp is not None:
            vectors = vectors + self.mlp(pooled)
        vectors = functional.normalize(vectors, dim=-1)
        if self.names is not None:
            vectors = self.names(vectors, averaged)
        return vectors if self.appearance is None else self.appearance.beside(vectors, look)


def read_appearance(bundle: Bundle) -> AppearancePart | None:
    """The appearance part of a bundle of composir's own networks; None where it has none."""
    fields = bundle.manifest.image.appearance
    if fields is None:
        return None
    weights = read_weights(bundle.file(bundle.manifest.image.graph))
    matrix = weights["appearance.project.weight"]
    made = AppearancePart(matrix.shape[1], fields.width, fields.weight)
    _fill(made.project, matrix, weights["appearance.project.bias"])
    if "appearance.scale" in weights:
        made.scale.copy_(torch.tensor(weights["appearance.scale"]))
    return made


def read_names(bundle: Bundle) -> NamePart | None:
    """The names of such a bundle; None where it has none."""
    weights = read_weights(bundle.file(bundle.manifest.image.graph))
    if "names.classify.weight" not in weights:
        return None
    classifier, names = weights["names.classify.weight"], weights["names.names.weight"]
    made = NamePart(classifier.shape[1], len(classifier), len(names))
    _fill(made.classify, classifier, weights["names.classify.bias"])
    with torch.no_grad():
        made.names.weight.copy_(torch.tensor(names))
    return made


def _perceptron(channels: int, dimension: int, config: LightVectorConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, config.width),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.width, dimension),
    )


def _fill(
    layer: nn.Conv2d | nn.LayerNorm | nn.Linear, weight: NDArray[Any], bias: NDArray[Any]
) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        assert layer.bias is not None  # made here, with one
        layer.bias.copy_(torch.tensor(bias))


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
    own, temperature = targets[: len(estimates)], config.temperature
    ranked = distillation_loss(estimates, own, targets, temperature, temperature, valid)
    return ranked + config.cosine_weight * cosine_loss(estimates, own)
