"""The transformer that towers share: normalised before each residual, or as BERT after it.

LoRA and bottlenecks attach to its projections by name (`query_key_value`, `output`, `expand`,
`contract`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import ModelError

MASKED = -1e4


def quick_gelu(values: Tensor) -> Tensor:
    """The sigmoid approximation of GELU that the first CLIP was trained with."""
    return values * torch.sigmoid(1.702 * values)


def tanh_gelu(values: Tensor) -> Tensor:
    """GELU by its tanh approximation, SigLIP's."""
    return functional.gelu(values, approximate="tanh")


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "quick_gelu": quick_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "gelu_new": tanh_gelu,
}


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """An activation function by the name that checkpoints give it."""
    if name not in ACTIVATIONS:
        raise ModelError(
            f"no activation function named {name!r}; known ones: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


class Block(nn.Module):
    """One transformer block: attention and a feed-forward layer.

    Sums are normalised (BERT) with `norm_after`, else what goes into each part.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        activation: str,
        eps: float,
        *,
        norm_after: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.norm_after = heads, norm_after
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.expand, self.contract = nn.Linear(width, inner), nn.Linear(inner, width)
        self._activation = activation_named(activation)

    def forward(
        self,
        states: Tensor,
        bias: Tensor | None = None,
        between: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Attend and transform, (n, length, width) to the same.

        Args:
            states: (n, length, width).
            bias: (n, 1, length or 1, length), added to attention logits; None for none.
            between: What happens to states behind attention, before they are transformed.
        """
        states = self._attended(states, bias)
        states = between(states) if between else states
        if self.norm_after:
            summed: Tensor = self.norm(states + self._transform(states))
            return summed
        return states + self._transform(self.norm(states))

    def _attended(self, states: Tensor, bias: Tensor | None) -> Tensor:
        if self.norm_after:
            attended: Tensor = self.attention_norm(states + self._attend(states, bias))
            return attended
        return states + self._attend(self.attention_norm(states), bias)

    def _transform(self, states: Tensor) -> Tensor:
        transformed: Tensor = self.contract(self._activation(self.expand(states)))
        return transformed

    def _attend(self, states: Tensor, bias: Tensor | None) -> Tensor:
        query, key, value = self.query_key_value(states).chunk(3, dim=-1)
        attended: Tensor = self.output(attention(query, key, value, self.heads, bias))
        return attended


class CrossAttention(nn.Module):
    """States attend to those of something else; added, and normalised afterwards."""

    def __init__(self, width: int, seen: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(seen, 2 * width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, states: Tensor, seen: Tensor) -> Tensor:
        """(n, length, width) and (n, N, seen) to (n, length, width)."""
        key, value = self.key_value(seen).chunk(2, dim=-1)
        mixed = self.output(attention(self.query(states), key, value, self.heads))
        normalised: Tensor = self.norm(states + mixed)
        return normalised


def attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None
) -> Tensor:
    """Attention of several heads, which share the width; (n, length, width).

    Args:
        query: (n, length, width).
        key: (n, seen, width).
        value: Likewise.
        heads: How many.
        bias: (n, 1, length or 1, seen), added to logits; None for none.
    """
    query, key, value = (_split(part, heads) for part in (query, key, value))
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)


def _split(states: Tensor, heads: int) -> Tensor:
    """(n, length, width) to (n, heads, length, width / heads)."""
    count, length, _ = states.shape
    return states.view(count, length, heads, -1).transpose(1, 2)


def attention_bias(mask: Tensor, *, causal: bool) -> Tensor:
    """What to add to attention logits so that padding, and the future, are not seen.

    Args:
        mask: (n, length), 1 for tokens and 0 for padding.
        causal: Whether a token sees only itself and what stands before it.

    Returns:
        (n, 1, 1 or length, length).
    """
    bias = ((1.0 - mask.float()) * MASKED)[:, None, None, :]
    if not causal:
        return bias
    places = torch.arange(mask.shape[1], device=mask.device)
    future = (places[None, :] > places[:, None]).float() * MASKED
    return bias + future[None, None]
