"""One torch image tower that a spec turns into any family's vision transformer.

Gives the pooled vector and class-free patch tokens; normalises pixels itself, so that one byte a
channel travels to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.foundation.transformer import Block, activation_named, attention


@dataclass(frozen=True, slots=True)
class ImageTowerSpec:
    """What an image tower is, apart from its weights.

    Attributes:
        dimension: D, width of the shared space.
        size: Side of the square input, pixels.
        patch: Side of a patch, pixels.
        width: Of states.
        layers: Transformer blocks.
        heads: Of attention.
        inner: Width of feed-forward layers.
        activation: Name of the activation function, as checkpoints give it.
        epsilon: Of layer norms.
        class_token: Whether a class token stands before the patches and is pooled (CLIP, BLIP);
            else an attention head with one learnt query pools them (SigLIP).
        mean: Per channel, on the 0 to 1 scale; subtracted from pixels.
        std: Likewise; pixels are divided by it.
        entry_norm: Whether states are normalised before the first block (CLIP).
        biases: Whether the patch embedding, and the projection of a class token, have a bias.
    """

    dimension: int
    size: int
    patch: int
    width: int
    layers: int
    heads: int
    inner: int
    activation: str
    epsilon: float
    class_token: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    entry_norm: bool = False
    biases: bool = True

    @property
    def patches(self) -> int:
        """N, how many patches there are."""
        return (self.size // self.patch) ** 2


class AttentionPool(nn.Module):
    """SigLIP's pooling: one learnt query attends to all patches, and a feed-forward layer."""

    def __init__(self, spec: ImageTowerSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.probe = nn.Parameter(torch.randn(1, 1, spec.width) * 0.02)
        self.query = nn.Linear(spec.width, spec.width)
        self.key_value = nn.Linear(spec.width, 2 * spec.width)
        self.output = nn.Linear(spec.width, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        self.expand = nn.Linear(spec.width, spec.inner)
        self.contract = nn.Linear(spec.inner, spec.width)
        self._activation = activation_named(spec.activation)

    def forward(self, states: Tensor) -> Tensor:
        """(n, N, width) -> (n, width)."""
        query = self.query(self.probe).expand(states.shape[0], -1, -1)
        key, value = self.key_value(states).chunk(2, dim=-1)
        pooled: Tensor = self.output(attention(query, key, value, self.heads))
        hidden = self._activation(self.expand(self.norm(pooled)))
        transformed: Tensor = (pooled + self.contract(hidden))[:, 0]
        return transformed


class ImageTower(nn.Module):
    """uint8 pixels to vectors and patch tokens."""

    def __init__(self, spec: ImageTowerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.patches = nn.Conv2d(3, spec.width, spec.patch, stride=spec.patch, bias=spec.biases)
        self.positions = nn.Parameter(
            torch.randn(spec.patches + spec.class_token, spec.width) * 0.02
        )
        if spec.class_token:
            self.class_embedding = nn.Parameter(torch.randn(spec.width) * 0.02)
            self.projection = nn.Linear(spec.width, spec.dimension, bias=spec.biases)
        else:
            self.pool = AttentionPool(spec)
        if spec.entry_norm:
            self.entry_norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        self.blocks = nn.ModuleList(
            Block(spec.width, spec.heads, spec.inner, spec.activation, spec.epsilon)
            for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        self.mean = nn.Buffer(torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(spec.std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pixels (n, size, size, 3) uint8.

        Returns:
            Vectors (n, D), unit norm, and patch tokens (n, N, width): the last states of patches,
            through the tower's last norm, without the class token.
        """
        states = self.states(pixels)
        if self.spec.class_token:
            pooled, states = self.projection(states[:, 0]), states[:, 1:]
        else:
            pooled = self.pool(states)
        return functional.normalize(pooled, dim=-1), states

    def states(self, pixels: Tensor) -> Tensor:
        """Normalised states after the last block, (n, N, width); a class token before them."""
        states = self._embedded(normalised(pixels, self.mean, self.std))
        for block in self.blocks:
            states = block(states)
        last: Tensor = self.norm(states)
        return last

    def _embedded(self, pixels: Tensor) -> Tensor:
        states: Tensor = self.patches(pixels).flatten(2).transpose(1, 2)
        if self.spec.class_token:
            first = self.class_embedding.expand(states.shape[0], 1, -1)
            states = torch.cat([first, states], dim=1)
        states = states + self.positions
        entered: Tensor = self.entry_norm(states) if self.spec.entry_norm else states
        return entered


def normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(n, s, s, 3) uint8 to (n, 3, s, s) float32, by (3, 1, 1) of mean and standard deviation."""
    channels = pixels.permute(0, 3, 1, 2).float() / 255.0
    return (channels - mean) / std
