"""The adaptive token learner: a feature map to a sentence of pseudo-words, and where each looked.

[paper, arXiv 2403.01431] Salient visual patterns are selected by attention and mapped to several
tokens in the word-embedding space. [ours] Everything that makes this concrete is a field of
`TokenLearnerConfig`. By default every token has a query of its own, and the places of the map
choose among the tokens: tokens that all look for the same would be one word several times.
"""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

import torch
from pydantic import model_validator
from torch import Tensor, nn

from composir.foundation.transformer import attention
from composir.train.config import Dropout, Heads, Layers, Settings, Tokens, Width
from composir.train.frozen import Likeness, WordLike, WordStatistics

Norm: TypeAlias = Literal["layer", "batch", "none"]
# Deviation of the logits that slots start with.
SHARPNESS = 2.0


class TokenLearnerConfig(Settings):
    """Every choice of the token learner.

    Attributes:
        kind: `slots`, a learned query and identity for each token; `attention`, two convolutions
            that give logits, without identity; `mlp`, average pooling and a perceptron, for the
            ablation.
        num_tokens: L, pseudo-words a picture.
        width: Of tokens while they are refined, and of the perceptron.
        attention_width: Of queries and keys, or hidden width of the two convolutions.
        softmax: Axis of the attention's softmax: over `tokens`, so that every position chooses
            one, then normalised over positions; or over `positions`, so that every token looks
            somewhere, perhaps all at the same.
        refinement_blocks: Blocks of self-attention among tokens and cross-attention to the map.
        heads: Attention heads of a refinement block.
        norm: Between the two convolutions of `attention`.
        activation: There, and in the perceptron.
        output: How tokens become like words (`words.WordLike`).
        dropout: On the tokens before they are mapped to word embeddings.
    """

    kind: Literal["slots", "attention", "mlp"] = "slots"
    num_tokens: Tokens = 4
    width: Width = 384
    attention_width: Width = 128
    softmax: Literal["positions", "tokens"] = "tokens"
    refinement_blocks: Layers = 1
    heads: Heads = 6
    norm: Norm = "layer"
    activation: Literal["gelu", "relu"] = "gelu"
    output: Likeness = "statistics"
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _splits_into_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads")
        return self


class TokenLearner(nn.Module):
    """`A = softmax(Q norm(W Z))`, `U = A Z` and each token's identity, refined, mapped to words.

    With `kind: attention` logits are `W2 act(norm(W1 Z))` and tokens have no identity. With
    `kind: mlp` the tokens come from a perceptron over the averaged map, and `A` is uniform.
    """

    def __init__(
        self, channels: int, word_dimension: int, config: TokenLearnerConfig, words: WordStatistics
    ) -> None:
        super().__init__()
        self.config = config
        attends = config.kind != "mlp"
        maps = {"slots": _Slots, "attention": _Attention}
        self.attention = maps[config.kind](channels, config) if attends else None
        self.identity: Tensor | None = None
        if config.kind == "slots":
            self.identity = nn.Parameter(torch.randn(config.num_tokens, config.width) / 2)
        self.features = nn.Linear(channels, config.width)
        self.features_norm = nn.LayerNorm(config.width)
        blocks = config.refinement_blocks if attends else 0
        self.blocks = nn.ModuleList(Refinement(config.width, config.heads) for _ in range(blocks))
        self.activation = _activation(config.activation)
        spread = nn.Linear(config.width, config.num_tokens * config.width)
        self.spread = nn.Identity() if attends else spread
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(config.width, word_dimension)
        self.word_like = WordLike(words, config.output)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map Z (n, C, h, w) to tokens (n, L, Dw), and attention (n, L, h, w), in sum 1."""
        count, _, height, width = features.shape
        flat = features.flatten(2).transpose(1, 2)
        values = self.features_norm(self.features(flat))
        attention, tokens = self._first_tokens(flat, values)
        seen = attention if self.config.kind == "slots" else None
        for block in self.blocks:
            tokens = block(tokens, values, seen)
        words = self.word_like(self.project(self.dropout(self.norm(tokens))))
        return words, attention.reshape(count, -1, height, width)

    def _first_tokens(self, flat: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Attention (n, L, positions) and tokens (n, L, width)."""
        if self.attention is not None:
            attention: Tensor = self.attention(flat)
            tokens = attention @ values
            return attention, tokens if self.identity is None else tokens + self.identity
        count = self.config.num_tokens
        hidden = self.activation(values.mean(1))
        spread = self.spread(hidden).reshape(flat.shape[0], count, self.config.width)
        uniform = torch.ones_like(flat[:, None, :, 0]).expand(-1, count, -1) / flat.shape[1]
        return uniform, spread


class _Attention(nn.Module):
    """Two convolutions of one by one, and a softmax."""

    def __init__(self, channels: int, config: TokenLearnerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(channels, config.attention_width)
        self.norm = _ChannelNorm(config.norm, config.attention_width)
        self.activation = _activation(config.activation)
        self.logits = nn.Linear(config.attention_width, config.num_tokens)
        self.softmax = config.softmax

    def forward(self, flat: Tensor) -> Tensor:
        """(n, positions, C) to (n, L, positions), summing to 1 over positions."""
        logits: Tensor = self.logits(self.activation(self.norm(self.inner(flat))))
        return _maps(logits, self.softmax)


class _Slots(nn.Module):
    """A learned query for each token, against a key at each position.

    Queries start at right angles, and long enough that positions already choose.
    """

    def __init__(self, channels: int, config: TokenLearnerConfig) -> None:
        super().__init__()
        width = config.attention_width
        self.keys = nn.Sequential(nn.Linear(channels, width), nn.LayerNorm(width))
        self.queries = nn.Parameter(torch.empty(config.num_tokens, width))
        nn.init.orthogonal_(self.queries, gain=SHARPNESS)
        self.softmax = config.softmax

    def forward(self, flat: Tensor) -> Tensor:
        """(n, positions, C) to (n, L, positions), summing to 1 over positions."""
        logits: Tensor = self.keys(flat) @ self.queries.T
        return _maps(logits, self.softmax)


def _maps(logits: Tensor, softmax: str) -> Tensor:
    """Logits (n, positions, L) to attention (n, L, positions), summing to 1 over positions."""
    if softmax == "positions":
        return logits.softmax(dim=1).transpose(1, 2)
    shares = logits.softmax(dim=2).transpose(1, 2)
    normalised: Tensor = shares / shares.sum(dim=2, keepdim=True).clamp(min=1e-6)
    return normalised


class Refinement(nn.Module):
    """Tokens look at each other, then at the map again, each at its own places, then think."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.to_tokens = _MultiHead(width, heads)
        self.to_map = _MultiHead(width, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.inner = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor, values: Tensor, seen: Tensor | None = None) -> Tensor:
        """Refine tokens (n, L, width) by the map (n, positions, width).

        `seen` (n, L, positions) is how much of each place a token sees; None: all of every place.
        """
        normed = self.norms[0](tokens)
        tokens = tokens + self.to_tokens(normed, normed)
        places = None if seen is None else seen.clamp(min=1e-6).log()[:, None]
        tokens = tokens + self.to_map(self.norms[1](tokens), values, places)
        refined: Tensor = tokens + self.inner(self.norms[2](tokens))
        return refined


class _MultiHead(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, queries: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        key, value = self.key_value(values).chunk(2, dim=-1)
        attended: Tensor = self.output(attention(self.query(queries), key, value, self.heads, bias))
        return attended


class _ChannelNorm(nn.Module):
    """Over channels of each position (`layer`), or over all positions of a batch (`batch`)."""

    def __init__(self, kind: Norm, channels: int) -> None:
        super().__init__()
        makers = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
        self.over_batch = kind == "batch"
        self.norm = makers[kind](channels) if kind in makers else nn.Identity()

    def forward(self, flat: Tensor) -> Tensor:
        if self.over_batch:
            normed: Tensor = self.norm(flat.transpose(1, 2)).transpose(1, 2)
            return normed
        plain: Tensor = self.norm(flat)
        return plain


def _activation(name: str) -> nn.Module:
    return nn.ReLU() if name == "relu" else nn.GELU()
