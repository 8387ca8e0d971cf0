"""From a reference's vector to pseudo-words, with visual semantic injection.

Stage 1 of Map-to-Compose (arXiv 2504.17990; docs: methods, section 2; the form of the modules is
ours, see docs/fidelity.md):

    w0 = MLP(v),    w = words(w0 + W CrossAttention(w0; P))

`words` gives a pseudo-word the mean and deviation of real word embeddings. W starts at zero, so
training starts from the plain mapper exactly; a gate, one number for all, hardly left zero. Without
injection this is the mapping network of Pic2Word (arXiv 2302.03084).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import TrainingError
from composir.train.composer_export import export_query_graph
from composir.train.config import Between, Dropout, Heads, Length, Settings, Tokens, Width
from composir.train.frozen import FrozenFoundation, WordLike, WordStatistics

EPSILON = 1e-6


class MapperConfig(Settings):
    """Sizes of the mapper, and what makes it robust.

    Attributes:
        tokens: L, pseudo-words a picture.
        width: Of the MLP's hidden layers.
        layers: Hidden layers of the MLP, 1 or more.
        dropout: After each hidden layer.
        injection_layers: Cross-attention layers over the patch tokens; 0 is the plain mapper.
        injection_heads: Attention heads in each.
        injection_width: Width of keys and values over all heads.
        injection_sharpness: Deviation of the attention's logits at the start, about; near 0 every
            patch counts alike, and attention learns slowly to select.
        patch_dropout: Share of patch tokens hidden from each picture's injection in training.
        vector_noise: Length of the random vector added to v in training, relative to v.
        token_dropout: Share of pseudo-words replaced by the mean word in training; one is always
            kept, so it does nothing for one token.
    """

    tokens: Tokens = 1
    width: Width = 1024
    layers: Annotated[int, Between(1, 256)] = 2
    dropout: Dropout = 0.1
    injection_layers: Annotated[int, Between(0, 3)] = 1
    injection_heads: Heads = 6
    injection_width: Width = 384
    injection_sharpness: Annotated[float, Between(1e-3, 100.0)] = 2.0
    patch_dropout: Dropout = 0.2
    vector_noise: Length = 0.0
    token_dropout: Dropout = 0.0

    @model_validator(mode="after")
    def _splits_into_heads(self) -> Self:
        if self.injection_width % self.injection_heads:
            raise ValueError(
                f"injection_width {self.injection_width} is no multiple of injection_heads "
                f"{self.injection_heads}"
            )
        return self


class Injection(nn.Module):
    """One cross-attention from pseudo-words to patch tokens: `W CrossAttention(w; P)`.

    There are few pseudo-words and many patches, so keys and values are never computed: a head's
    query is taken into the space of the patches (`q Wk`), and the attended mean of patches is
    projected afterwards (`(A P) Wv`). The outcome is the same, at a fraction of the cost.
    """

    def __init__(self, word_width: int, patch_width: int, config: MapperConfig) -> None:
        """Build; the last projection is zero."""
        super().__init__()
        self.heads, self.tokens = config.injection_heads, config.tokens
        self.drop = config.patch_dropout
        inner = config.injection_width
        self.norm = nn.LayerNorm(word_width)
        self.query = nn.Linear(word_width, inner)
        self.key = nn.Parameter(torch.empty(self.heads, inner // self.heads, patch_width))
        self.value = nn.Parameter(torch.empty(self.heads, patch_width, inner // self.heads))
        self.output = nn.Linear(inner, word_width)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        nn.init.normal_(self.value, std=patch_width**-0.5)
        # A query has a variance of a third, as `Linear` starts.
        nn.init.normal_(self.key, std=config.injection_sharpness * (3 / patch_width) ** 0.5)

    def forward(self, words: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Words (n, L, Dw), not yet like words in scale, attend to patches (n, N, Dp), normalised.

        Returns:
            What to add, (n, L, Dw), and attention (n, L, N), the mean over heads.
        """
        query = self.query(self.norm(words)).flatten(0, 1).unflatten(-1, (self.heads, -1))
        # Heads first, then pictures first: no factor is ever copied for each picture or head.
        sought = _by_picture(query.transpose(0, 1) @ self.key, self.tokens)
        logits = sought @ patches.transpose(1, 2) / math.sqrt(self.key.shape[1])
        attention = torch.softmax(self._hidden(logits), dim=-1)
        seen = _by_head(attention @ patches, self.heads) @ self.value
        mixed = seen.transpose(0, 1).flatten(1, 2).unflatten(0, (-1, self.tokens))  # type: ignore[no-untyped-call]
        mean = attention.unflatten(1, (self.heads, -1)).mean(1)  # type: ignore[no-untyped-call]
        return self.output(mixed), mean

    def _hidden(self, logits: Tensor) -> Tensor:
        """Hide some patches of each picture from all its words and heads."""
        if not self.training or not self.drop:
            return logits
        hidden = torch.rand(len(logits), 1, logits.shape[-1], device=logits.device) < self.drop
        return logits.masked_fill(hidden & ~hidden.all(-1, keepdim=True), -1e4)


def _by_picture(rows: Tensor, tokens: int) -> Tensor:
    """(heads, n L, w) to (n, heads L, w)."""
    split: Tensor = rows.unflatten(1, (-1, tokens))  # type: ignore[no-untyped-call]
    return split.transpose(0, 1).flatten(1, 2)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """(n, heads L, w) to (heads, n L, w)."""
    split: Tensor = rows.unflatten(1, (heads, -1))  # type: ignore[no-untyped-call]
    return split.transpose(0, 1).flatten(1, 2)


class Mapper(nn.Module):
    """Vectors (and patch tokens) to pseudo-words.

    Attributes:
        injections: Cross-attention layers; empty for the plain mapper.
    """

    def __init__(
        self,
        dimension: int,
        statistics: WordStatistics,
        patch_width: int | None,
        config: MapperConfig,
        *,
        ignored: int = 0,
    ) -> None:
        """Build with random weights.

        Args:
            dimension: D of the vectors.
            statistics: Of real word embeddings, (Dw,).
            patch_width: Dp of the patch tokens; None for the plain mapper.
            config: Sizes.
            ignored: How many of the last dimensions of a vector are ignored: the appearance part,
                for a mapper that is trained on texts.
        """
        super().__init__()
        if config.injection_layers and patch_width is None:
            raise TrainingError(
                "visual semantic injection needs patch tokens; set mapper.injection_layers=0 for "
                "a model without them"
            )
        self.config, self.word_width = config, len(statistics.mean)
        self.patch_width, self.ignored = patch_width or 0, ignored
        self.mlp = _mlp(dimension - ignored, config.tokens * self.word_width, config)
        self.injections = nn.ModuleList(
            Injection(self.word_width, self.patch_width, config)
            for _ in range(config.injection_layers)
        )
        self.word_like = WordLike(statistics)

    @classmethod
    def of(
        cls,
        foundation: FrozenFoundation,
        config: MapperConfig,
        texts: Iterable[str],
        patch_width: int | None = None,
        *,
        ignored: int = 0,
    ) -> Self:
        """A mapper with random weights, on a foundation's device, for words as `texts` use them."""
        statistics = foundation.word_statistics(texts)
        made = cls(foundation.dimension, statistics, patch_width, config, ignored=ignored)
        return made.to(foundation.device)

    def forward(
        self, vectors: Tensor, patch_tokens: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Map vectors (n, D), unit norm, and for injection patch tokens (n, N, Dp).

        Returns:
            Pseudo-words (n, L, Dw), and the last injection's attention (n, L, N) or None.
        """
        seen = vectors
        if self.ignored:
            seen = functional.normalize(vectors[:, : -self.ignored], dim=-1)
        raw = self.mlp(self._noisy(seen)).unflatten(-1, (self.config.tokens, -1))
        attention = None
        if self.injections:
            assert patch_tokens is not None
            patches = functional.layer_norm(patch_tokens, (self.patch_width,))
            for injection in self.injections:
                added, attention = injection(raw, patches)
                raw = raw + added
        return self._dropped(self.word_like(raw)), attention

    def _noisy(self, vectors: Tensor) -> Tensor:
        if not self.training or not self.config.vector_noise:
            return vectors
        noise = functional.normalize(torch.randn_like(vectors), dim=-1)
        return functional.normalize(vectors + self.config.vector_noise * noise, dim=-1)

    def _dropped(self, words: Tensor) -> Tensor:
        if not self.training or not self.config.token_dropout:
            return words
        draws = torch.rand(words.shape[:2], device=words.device)
        # The word with the highest draw always stays.
        gone = (draws < self.config.token_dropout) & (draws < draws.amax(1, keepdim=True))
        return torch.where(gone.unsqueeze(-1), self.word_like.mean, words)


class QueryGraph(nn.Module):
    """The mapper as a composer's query graph: `tokens`, and `attention` where it injects."""

    def __init__(self, mapper: Mapper, grid: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.mapper, self.grid = mapper, grid

    def forward(
        self, first: Tensor, vector: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(vector) or (patch_tokens, vector) to tokens (n, L, Dw), attention (n, L, h, w)."""
        if vector is None:
            words: Tensor = self.mapper(first)[0]
            return words
        words, attention = self.mapper(vector, first)
        return words, attention.unflatten(-1, self.grid)


def export_mapper(mapper: Mapper, foundation: FrozenFoundation, path: Path) -> float:
    """Write a mapper's query graph."""
    vector = functional.normalize(torch.randn(3, foundation.dimension), dim=-1)
    if not mapper.injections:
        return export_query_graph(QueryGraph(mapper), {"vector": vector}, ["tokens"], path)
    rows, columns, width = foundation.patch_shape()
    inputs = {"patch_tokens": torch.randn(3, rows * columns, width), "vector": vector}
    graph = QueryGraph(mapper, (rows, columns))
    return export_query_graph(graph, inputs, ["tokens", "attention"], path)


def _mlp(inputs: int, outputs: int, config: MapperConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(config.layers):
        layers += [nn.Linear(inputs, config.width), nn.GELU(), nn.Dropout(config.dropout)]
        inputs = config.width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
