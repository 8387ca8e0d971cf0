"""MobileCLIP's image towers: FastViT, as it computes once its branches are one convolution each.

In training every convolution is a sum of branches with norms of their own; checkpoints hold either
form. Weights go by the names that timm gives them; branches are summed here as they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import ModelError
from composir.foundation.image_tower import normalised
from composir.foundation.transformer import attention
from composir.foundation.weights import WeightSource

_HEAD_WIDTH = 32
_NORM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class FastVitSpec:
    """What a FastViT is, apart from its weights.

    Attributes:
        layers: Blocks of each stage.
        widths: Of each stage's maps; each stage after the first halves the map's sides.
        ratio: Of a block's inner width to its width.
        attending: How many of the last stages mix positions by attention, not by convolution.
        squeezed: Whether the maps of the last two stages are scaled by channel as they are halved.
        layer_norm: Whether what goes into attention is normalised at each position, over channels.
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    ratio: int
    attending: int = 1
    squeezed: bool = True
    layer_norm: bool = False


FASTVITS: Mapping[str, FastVitSpec] = {
    "fastvit_mci0": FastVitSpec((2, 6, 10, 2), (64, 128, 256, 512), 3),
    "fastvit_mci1": FastVitSpec((4, 12, 20, 4), (64, 128, 256, 512), 3),
    "fastvit_mci2": FastVitSpec((4, 12, 24, 4), (80, 160, 320, 640), 3),
    "fastvit_mci3": FastVitSpec(
        (2, 12, 24, 4, 2), (96, 192, 384, 768, 1536), 4, 2, squeezed=False, layer_norm=True
    ),
    "fastvit_mci4": FastVitSpec(
        (2, 12, 24, 4, 4), (128, 256, 512, 1024, 2048), 4, 2, squeezed=False, layer_norm=True
    ),
}
"""MobileCLIP2's S0, S2, S3 and S4 (and the first MobileCLIP's S1), by what timm calls them."""


class FastVit(nn.Module):
    """uint8 pixels to vectors and patch tokens."""

    def __init__(
        self,
        spec: FastVitSpec,
        dimension: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """Build with random weights, for pixels of a mean and deviation by channel (0 to 1)."""
        super().__init__()
        self.spec = spec
        first, last = spec.widths[0], spec.widths[-1]
        self.stem = nn.ModuleList(
            [
                nn.Conv2d(3, first, 3, stride=2, padding=1),
                nn.Conv2d(first, first, 3, stride=2, padding=1, groups=first),
                nn.Conv2d(first, first, 1),
            ]
        )
        self.stages = nn.ModuleList(_Stage(spec, place) for place in range(len(spec.layers)))
        self.final_conv = _Squeezed(last, 2 * last, 3, hidden=max(1, last // 8))
        self.head = nn.Linear(2 * last, dimension)
        self.mean = nn.Buffer(torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pixels (n, s, s, 3) uint8.

        Returns:
            Vectors (n, D), unit norm, and patch tokens (n, N, Dp): the places of the last map,
            whose mean is what the vector is a projection of.
        """
        states = normalised(pixels, self.mean, self.std)
        for convolution in self.stem:
            states = functional.gelu(convolution(states))
        for stage in self.stages:
            states = stage(states)
        patches = functional.gelu(self.final_conv(states)).flatten(2).transpose(1, 2)
        return functional.normalize(self.head(patches.mean(dim=1)), dim=-1), patches


class _Stage(nn.Module):
    """Half the sides, unless it is the first; then blocks."""

    def __init__(self, spec: FastVitSpec, place: int) -> None:
        super().__init__()
        width, count = spec.widths[place], len(spec.layers)
        attends = place >= count - spec.attending
        squeezed = spec.squeezed and place >= count - 2
        self.downsample = _Halved(spec.widths[place - 1], width, squeezed) if place else None
        self.pos_emb = nn.Conv2d(width, width, 7, padding=3, groups=width) if attends else None
        self.blocks = nn.ModuleList(
            _Attending(width, spec.ratio, spec.layer_norm)
            if attends
            else _Mixing(width, spec.ratio)
            for _ in range(spec.layers[place])
        )

    def forward(self, states: Tensor) -> Tensor:
        if self.downsample is not None:
            states = self.downsample(states)
        if self.pos_emb is not None:
            states = self.pos_emb(states)
        for block in self.blocks:
            states = block(states)
        return states


class _Squeezed(nn.Module):
    """A convolution by channel, whose channels are then scaled by what all places say together."""

    def __init__(
        self, width: int, output: int, kernel: int, *, hidden: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            width, output, kernel, stride=stride, padding=kernel // 2, groups=width
        )
        self.se = nn.ModuleDict(
            {"fc1": nn.Conv2d(output, hidden, 1), "fc2": nn.Conv2d(hidden, output, 1)}
            if hidden
            else {}
        )

    def forward(self, states: Tensor) -> Tensor:
        states = self.convolution(states)
        if not self.se:
            return states
        told = functional.relu(self.se["fc1"](states.mean(dim=(2, 3), keepdim=True)))
        return states * torch.sigmoid(self.se["fc2"](told))


class _Halved(nn.Module):
    def __init__(self, width: int, output: int, squeezed: bool) -> None:
        super().__init__()
        hidden = max(8, (output // 4 + 4) // 8 * 8) if squeezed else 0  # as timm rounds it
        large = _Squeezed(width, output, 7, hidden=hidden, stride=2)
        self.proj = nn.ModuleList([large, nn.Conv2d(output, output, 1)])

    def forward(self, states: Tensor) -> Tensor:
        for part in self.proj:
            states = functional.gelu(part(states))
        return states


class _Feed(nn.Module):
    """What a block does with each place, its neighbours seen through one convolution."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.fc1 = nn.Conv2d(width, ratio * width, 1)
        self.fc2 = nn.Conv2d(ratio * width, width, 1)

    def forward(self, states: Tensor) -> Tensor:
        fed: Tensor = self.fc2(functional.gelu(self.fc1(self.conv(states))))
        return fed


class _Mixing(nn.Module):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.token_mixer = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mlp = _Feed(width, ratio)

    def forward(self, states: Tensor) -> Tensor:
        states = self.token_mixer(states)
        mixed: Tensor = states + self.mlp(states)
        return mixed


class _Attending(nn.Module):
    def __init__(self, width: int, ratio: int, layer_norm: bool) -> None:
        super().__init__()
        if width % _HEAD_WIDTH:
            raise ModelError(f"a FastViT of width {width}: its heads are {_HEAD_WIDTH} wide")
        # Fixed statistics are a scale and a shift for each channel.
        self.norm = (
            nn.LayerNorm(width, eps=_NORM_EPSILON)
            if layer_norm
            else nn.Conv2d(width, width, 1, groups=width)
        )
        self.token_mixer = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width, bias=False), "proj": nn.Linear(width, width)}
        )
        self.mlp = _Feed(width, ratio)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self._attended(states)
        transformed: Tensor = states + self.mlp(states)
        return transformed

    def _attended(self, states: Tensor) -> Tensor:
        by_channel = isinstance(self.norm, nn.Conv2d)
        rows = (self.norm(states) if by_channel else states).flatten(2).transpose(1, 2)
        rows = rows if by_channel else self.norm(rows)
        query, key, value = self.token_mixer["qkv"](rows).chunk(3, dim=-1)
        mixed = attention(query, key, value, rows.shape[2] // _HEAD_WIDTH)
        attended: Tensor = (
            self.token_mixer["proj"](mixed).transpose(1, 2).unflatten(2, states.shape[2:])
        )
        return attended


def fastvit_weights(tower: FastVit, source: WeightSource, trunk: str) -> dict[str, Tensor]:
    """A checkpoint's weights as the tower takes them, of either form."""
    state: dict[str, Tensor] = {}
    for ours, module in tower.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear | nn.LayerNorm):
            continue
        theirs = f"{trunk}.{ours.removesuffix('.convolution')}"
        theirs = theirs.removesuffix(".head") + ".head.fc" if ours == "head" else theirs
        if isinstance(module, nn.Conv2d):
            weight, bias = _convolution(source, theirs, module)
            state |= {f"{ours}.weight": weight, f"{ours}.bias": bias}
        else:
            state |= source.layer(ours, theirs, bias=module.bias is not None)
    for ours, scale in scaled_layers(tower):
        gamma = source[f"{trunk}.{scale}.gamma"].flatten()
        weight = state[f"{ours}.weight"]
        state[f"{ours}.weight"] = weight * gamma.view(-1, *[1] * (weight.dim() - 1))
        state[f"{ours}.bias"] = state[f"{ours}.bias"] * gamma
    return state


def scaled_layers(tower: FastVit) -> Iterator[tuple[str, str]]:
    """What each block adds is scaled by channel: its last layer, and what the scale is called."""
    for name, module in tower.named_modules():
        if isinstance(module, _Mixing):
            yield f"{name}.mlp.fc2", f"{name}.layer_scale"
        elif isinstance(module, _Attending):
            yield f"{name}.token_mixer.proj", f"{name}.layer_scale_1"
            yield f"{name}.mlp.fc2", f"{name}.layer_scale_2"


def _convolution(source: WeightSource, place: str, like: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution, whatever branches it still has."""
    if f"{place}.reparam_conv.weight" in source.state:
        return source[f"{place}.reparam_conv.weight"], source[f"{place}.reparam_conv.bias"]
    if f"{place}.pos_enc.weight" in source.state:
        whole = source[f"{place}.pos_enc.weight"] + _identity(like)
        return whole, source[f"{place}.pos_enc.bias"]
    if f"{place}.layer_scale.gamma" in source.state:  # x + scale * (mixer(x) - norm(x))
        scale = source[f"{place}.layer_scale.gamma"].flatten().double()
        (mixed, shift), (own, back) = (
            _branches(source, f"{place}.{part}", like) for part in ("mixer", "norm")
        )
        weight = _identity(like).double() + scale.view(-1, 1, 1, 1) * (mixed - own)
        return weight.float(), (scale * (shift - back)).float()
    if f"{place}.weight" in source.state and f"{place}.running_var" not in source.state:
        return source[f"{place}.weight"], source[f"{place}.bias"]
    weight, bias = _branches(source, place, like)
    return weight.float(), bias.float()


def _branches(source: WeightSource, place: str, like: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Sum of the branches of a convolution, each with its norm; float64."""
    weight, bias = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for kernel, norm in _found(source, place, like):
        deviation = (source[f"{norm}.running_var"].double() + _NORM_EPSILON).sqrt()
        scale = source[f"{norm}.weight"].double() / deviation
        edge = (like.kernel_size[0] - kernel.shape[2]) // 2
        weight = weight + functional.pad(kernel.double() * scale.view(-1, 1, 1, 1), [edge] * 4)
        bias = bias + source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * scale
    return weight, bias


def _found(source: WeightSource, place: str, like: nn.Conv2d) -> Iterator[tuple[Tensor, str]]:
    """Kernels of the branches that there are, and where their norms are."""
    names = ("conv_kxk.0", "conv_scale", "large_conv", "small_conv")
    kernels = [f"{place}.{name}" for name in names if f"{place}.{name}.bn.weight" in source.state]
    identities = [
        norm for norm in (f"{place}.identity", place) if f"{norm}.running_var" in source.state
    ]
    if not kernels and not identities:
        kernels = [place]  # the one of a block's perceptron; or the name of what is missing
    yield from ((source[f"{name}.conv.weight"], f"{name}.bn") for name in kernels)
    yield from ((_identity(like), name) for name in identities)


def _identity(like: nn.Conv2d) -> Tensor:
    """The kernel of a convolution's shape that changes nothing."""
    kernel = torch.zeros(like.weight.shape)
    middle, inputs = like.kernel_size[0] // 2, like.weight.shape[1]
    for channel in range(len(kernel)):
        kernel[channel, channel % inputs, middle, middle] = 1.0
    return kernel
