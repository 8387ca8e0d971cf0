"""One torch text tower, open at the word embeddings, that a spec turns into a family's.

Takes word embeddings instead of token ids, so that pseudo-words can stand among real ones, and the
place of the end-of-text token, which embeddings do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import ModelError
from composir.foundation.transformer import Block, CrossAttention, attention_bias
from composir.foundation.weights import fill, saved_weights

Pooling: TypeAlias = Literal["eot", "last", "cls", "mean"]
_WIDTH = "crossings.0.key_value.weight"


@dataclass(frozen=True, slots=True)
class TextTowerSpec:
    """What a text tower is, apart from its weights.

    Attributes:
        dimension: D, width of the shared space.
        positions: Longest sentence in tokens, frames included.
        width: Of states, and of word embeddings (Dw).
        layers: Transformer blocks.
        heads: Of attention.
        inner: Width of feed-forward layers.
        activation: Name of the activation function, as checkpoints give it.
        epsilon: Of layer norms.
        causal: Whether a token sees only what stands before it.
        pooling: Which state becomes the vector; `mean` of all that are no padding.
        projection: Whether a linear map leads from the pooled state to the vector.
        projection_bias: Whether that map has a bias.
        norm_after: Whether sums are normalised as in BERT: embeddings and each residual, where
            others normalise what goes into each part, and the last states.
        correction: Hidden width of a perceptron beside that map, on its own scale; 0 for none.
        appearance: Width of what gallery vectors keep of a picture beside what texts say of it
            (`foundation.appearance`): texts have zeros there. Not counted in `dimension`.
    """

    dimension: int
    positions: int
    width: int
    layers: int
    heads: int
    inner: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5
    causal: bool = True
    pooling: Pooling = "eot"
    projection: bool = True
    projection_bias: bool = False
    norm_after: bool = False
    correction: int = 0
    appearance: int = 0

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> TextTowerSpec:
        """A spec from the fields that a bundle's manifest records."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"the text tower's spec has unknown fields: {', '.join(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"the text tower's spec is incomplete: {error}") from error

    def to_fields(self) -> dict[str, Any]:
        """The fields as plain values, for a manifest."""
        return asdict(self)


class TextTower(nn.Module):
    """Word embeddings, a mask and the pooled place to a vector and token states.

    Attributes:
        spec: What it is.
        positions: (positions, width), added to word embeddings.
        blocks: The transformer.
        norm: Of the last states, or of embeddings (`TextTowerSpec.norm_after`).
        projection: From the pooled state to the shared space.
        correction: Added to what `projection` gives, its last matrix zero at first; None for none.
        appearance: From the pooled state to the vector's appearance part; None for zeros.
    """

    def __init__(self, spec: TextTowerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.positions = nn.Parameter(torch.randn(spec.positions, spec.width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(
                spec.width,
                spec.heads,
                spec.inner,
                spec.activation,
                spec.epsilon,
                norm_after=spec.norm_after,
            )
            for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        self.projection = (
            nn.Linear(spec.width, spec.dimension, bias=spec.projection_bias)
            if spec.projection
            else nn.Identity()
        )
        self.correction = _perceptron(spec) if spec.correction else None
        self.appearance: nn.Module | None = None

    def forward(
        self, words: Tensor, mask: Tensor, eot: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode spliced sentences.

        Args:
            words: (n, length, width) float32, word embeddings without positions.
            mask: (n, length), 1 for tokens and 0 for padding.
            eot: (n,) int64, place of the state that is pooled; not read where `mean` is.

        Returns:
            Vectors (n, D), unit norm, and token states (n, length, width).
        """
        states = self.states(words, mask)
        return self.vector(self._pool(states, mask, eot)), states

    def vector(self, pooled: Tensor) -> Tensor:
        """Pooled states (n, width) to vectors (n, D), unit norm."""
        raw: Tensor = self.projection(pooled)
        if self.correction is not None:
            raw = raw + self.correction(pooled)
        meaning = functional.normalize(raw, dim=-1)
        if not self.spec.appearance:
            return meaning
        if self.appearance is None:
            zeros = meaning.new_zeros(meaning.shape[0], self.spec.appearance)
            return torch.cat([meaning, zeros], dim=-1)  # `pad` cannot be exported
        beside: Tensor = self.appearance(pooled)
        # Not `normalize`: where it is zero, the meaning has to come out to the bit.
        length = torch.sqrt(1.0 + beside.square().sum(dim=-1, keepdim=True))
        return torch.cat([meaning, beside], dim=-1) / length

    def states(self, words: Tensor, mask: Tensor) -> Tensor:
        """Normalised token states after the last block, (n, length, width)."""
        states, bias = self.entered(words, mask)
        for block in self.blocks:
            states = block(states, bias)
        if not self.spec.norm_after:
            states = self.norm(states)
        return states

    def entered(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the first block takes: states (n, length, width), and the bias of attention."""
        states: Tensor = words + self.positions[: words.shape[1]]
        if self.spec.norm_after:
            states = self.norm(states)
        return states, attention_bias(mask, causal=self.spec.causal)

    def _pool(self, states: Tensor, mask: Tensor, eot: Tensor | None) -> Tensor:
        if self.spec.pooling == "mean":
            return mean_pool(states, mask)
        assert eot is not None  # whoever pools at a place is told it
        place = eot[:, None, None].expand(-1, 1, states.shape[2])
        return states.gather(1, place).squeeze(1)


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the token states that are not padding, (n, length, w) -> (n, w)."""
    weights = mask.float().unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def _perceptron(spec: TextTowerSpec) -> nn.Sequential:
    expand = nn.Linear(spec.width, spec.correction)
    contract = nn.Linear(spec.correction, spec.dimension)
    nn.init.zeros_(contract.weight)
    return nn.Sequential(expand, nn.GELU(), nn.Dropout(0.1), contract)


def load_text_tower(path: Path, spec: Mapping[str, Any]) -> TextTower:
    """Rebuild the torch text tower that a bundle keeps for training."""
    tower = TextTower(TextTowerSpec.from_fields(spec))
    problem = f"{path} does not hold the text tower's weights"
    return fill(tower, saved_weights(path, problem), problem)


class MatchingEncoder(nn.Module):
    """BLIP's second use of its text encoder: whether a sentence and a picture belong together.

    Between attention and feed-forward layer of each of the text tower's blocks, states attend to
    the picture's. Training alone needs it, so a bundle keeps its weights, and no graph.

    Attributes:
        crossings: What a text tower's blocks lack, one a block.
        head: From the first token's state to two logits: no match, match.
    """

    def __init__(self, tower: TextTower, seen: int) -> None:
        super().__init__()
        spec = tower.spec
        self._tower = (tower,)  # in a tuple, so that it is no submodule
        self.crossings = nn.ModuleList(
            CrossAttention(spec.width, seen, spec.heads, spec.epsilon) for _ in range(spec.layers)
        )
        self.head = nn.Linear(spec.width, 2)

    def forward(self, words: Tensor, mask: Tensor, patches: Tensor) -> Tensor:
        """Match sentences with pictures, row by row; (n,) logits, higher for a match.

        Args:
            words: (n, length, Dw), word embeddings of framed sentences.
            mask: (n, length), 1 for tokens and 0 for padding.
            patches: (n, N, Dp), what the sentences attend to.
        """
        tower = self._tower[0]
        states, bias = tower.entered(words, mask)
        for block, crossing in zip(tower.blocks, self.crossings, strict=True):
            states = block(states, bias, partial(crossing, seen=patches))
        no, yes = self.head(states[:, 0]).unbind(dim=-1)
        logits: Tensor = yes - no
        return logits


def load_matching_encoder(path: Path, tower: TextTower) -> MatchingEncoder:
    """Rebuild the matching encoder that a bundle keeps for training."""
    problem = f"{path} does not hold the weights of a matching encoder of this text tower"
    state = saved_weights(path, problem)
    if _WIDTH not in state:
        raise ModelError(problem)
    return fill(MatchingEncoder(tower, seen=state[_WIDTH].shape[1]), state, problem)
