"""The light side's image network: pixels to a feature map, split where features are cached.

`lower` is frozen and runs once a picture; `upper` runs at every step. With a frozen trunk `lower`
is all of it. Where the feature map comes from patch tokens of the gallery's encoder (the symmetric
variant), nothing is left to run but the token learner.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from composir.errors import MissingExtraError, TrainingError
from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import Bundle
from composir.train.config import Between, Layers, Settings
from composir.train.isa.efficientnet_lite import (
    CACHE_STAGE,
    LITE_SPECS,
    PIXEL_MEAN,
    PIXEL_STD,
    STAGES,
    EfficientNetLite,
    load_efficientnet_lite,
    run_stages,
    trunk_of_gallery,
)

GALLERY = "gallery"
# Of the side of the gallery's pictures: 0.46 of the operations.
GALLERY_SCALE = 0.68
STRIDE = 16


class LightEncoderConfig(Settings):
    """Which network, and how much of it is trained.

    Attributes:
        name: `lite0` to `lite2`; `timm:NAME` or `transformers:NAME` where those are installed;
            `gallery` for the gallery's own network on smaller pictures.
        size: Side of its pictures, pixels; 0 for the size that the network was made for, or, of
            `gallery`, for the one that costs just under half of the gallery's encoder.
        trained_blocks: How many of its last blocks are trained; 0 freezes it and caches its
            output. Of a Lite network at most 2, the stages above the cached one.
        fit: How pictures become square (`PreprocessSpec.fit`); of `gallery` as in the gallery.
    """

    name: str = "lite0"
    size: Annotated[int, Between(0, 4096)] = 0
    trained_blocks: Layers = 0
    fit: Literal["squash", "centre-crop", "pad"] = "squash"

    @model_validator(mode="after")
    def _leaves_a_map(self) -> Self:
        if 0 < self.size < 2 * STRIDE:
            raise ValueError(f"size must be at least {2 * STRIDE}, not {self.size}")
        return self


class LightEncoder(nn.Module):
    """What training and export ask of a light image network.

    Attributes:
        channels: Of the feature map.
        preprocess: How pictures become its pixels; not where it reads patch tokens.
    """

    channels: int
    preprocess: PreprocessSpec

    def lower(self, pixels: Tensor) -> Tensor:
        """Frozen part: uint8 pixels (n, s, s, 3) to what is cached."""
        raise NotImplementedError

    def upper(self, cached: Tensor) -> tuple[Tensor, Tensor]:
        """The rest: what was cached to the feature map (n, channels, h, w), float32.

        Beside it, `efficientnet_lite.run_stages`'s statistics of all stages (n, k), k 0 for others.
        """
        raise NotImplementedError

    def trained(self) -> tuple[nn.Parameter, ...]:
        """Parameters of the trained blocks."""
        raise NotImplementedError


def load_light_encoder(config: LightEncoderConfig, bundle: Bundle) -> LightEncoder:
    """Load a light image network with its published weights, or the gallery's."""
    origin, _, name = config.name.rpartition(":")
    if origin == "timm":
        return _load_timm(name, config)
    if origin == "transformers":
        return _load_transformers(name, config)
    if config.name == GALLERY:
        return _load_gallery(bundle, config)
    if origin or name not in LITE_SPECS:
        raise TrainingError(
            f"no light encoder named {config.name}; known: {', '.join(LITE_SPECS)}, {GALLERY}, "
            "timm:NAME, transformers:NAME"
        )
    trunk = load_efficientnet_lite(name)
    mean, std = PIXEL_MEAN / 255.0, PIXEL_STD / 255.0
    size = config.size or trunk.spec.resolution
    spec = PreprocessSpec(size=size, fit=config.fit, mean=(mean,) * 3, std=(std,) * 3)
    return LiteEncoder(trunk, spec, config)


class LiteEncoder(LightEncoder):
    """EfficientNet-Lite without its last, 1280-channel convolution."""

    def __init__(
        self, trunk: EfficientNetLite, preprocess: PreprocessSpec, config: LightEncoderConfig
    ) -> None:
        super().__init__()
        above = len(trunk.stages) - CACHE_STAGE
        if not 0 <= config.trained_blocks <= above:
            raise TrainingError(f"light.trained_blocks of {config.name} must be 0 to {above}")
        self.stem, self.stages = trunk.stem, trunk.stages
        self.split = len(STAGES) - config.trained_blocks
        last = [module for module in trunk.stages.modules() if isinstance(module, nn.Conv2d)][-1]
        self.channels = last.out_channels
        self.preprocess = preprocess
        blank = torch.zeros(1, preprocess.size, preprocess.size, 3, dtype=torch.uint8)
        with torch.no_grad():
            self.shape = self._frozen(blank)[0].shape[1:]  # of what is cached of a map

    def lower(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (n, s, s, 3) to the map below the trained stages, then its statistics.

        One row of c h w + k numbers a picture.
        """
        hidden, statistics = self._frozen(pixels)
        return torch.cat([hidden.flatten(1), statistics], dim=1)

    def upper(self, cached: Tensor) -> tuple[Tensor, Tensor]:
        """The trained stages; (n, c h w + k) to (n, channels, h', w') and (n, k')."""
        rows, end = cached.float(), self.shape.numel()
        # `unflatten` would fix a graph's batch.
        hidden = rows[:, :end].reshape(rows.shape[0], *self.shape)
        features, above = run_stages(self.stages[self.split :], hidden)
        return features, torch.cat([rows[:, end:], above], dim=1)

    def _frozen(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.clamp(self.stem(_normalised(pixels, self.preprocess)), 0.0, 6.0)
        return run_stages(self.stages[: self.split], hidden)

    def trained(self) -> tuple[nn.Parameter, ...]:
        """Parameters of the stages above the split."""
        return tuple(p for stage in self.stages[self.split :] for p in stage.parameters())


class LibraryEncoder(LightEncoder):
    """Any image network whose forward gives a map or a sequence of patch tokens.

    Frozen, its output is cached. With trained blocks the pixels are cached, and the whole network
    runs at every step.
    """

    def __init__(
        self, network: nn.Module, preprocess: PreprocessSpec, trained_blocks: int, name: str
    ) -> None:
        """Wrap a network of normalised pixels (n, 3, s, s), and train its last blocks.

        It gives (n, C, h, w) or (n, N, C), where tokens before the last square number (a class
        token) are left out; blocks are those of its longest list.
        """
        super().__init__()
        self.network, self.preprocess, self.name = network, preprocess, name
        self.frozen = trained_blocks == 0
        self._trained = _last_blocks(network, trained_blocks, name)
        blank = torch.zeros(1, preprocess.size, preprocess.size, 3, dtype=torch.uint8)
        with torch.no_grad():
            self.channels = int(self._map(blank).shape[1])

    def lower(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (n, s, s, 3) to the map, or to themselves where blocks are trained."""
        return self._map(pixels) if self.frozen else pixels

    def upper(self, cached: Tensor) -> tuple[Tensor, Tensor]:
        """To the map (n, channels, h, w) alone."""
        return _alone(cached.float() if self.frozen else self._map(cached))

    def trained(self) -> tuple[nn.Parameter, ...]:
        """Parameters of the last blocks."""
        return tuple(p for block in self._trained for p in block.parameters())

    def _map(self, pixels: Tensor) -> Tensor:
        output: Any = self.network(_normalised(pixels, self.preprocess))
        output = getattr(output, "last_hidden_state", output)
        if isinstance(output, list | tuple):
            output = output[-1]
        return as_map(output, self.name)


class PatchTokens(LightEncoder):
    """The symmetric variant: the gallery's patch tokens are the feature map already."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.channels, self.grid = channels, grid

    def upper(self, cached: Tensor) -> tuple[Tensor, Tensor]:
        """(n, N, Dp) to the map (n, Dp, h, w) alone."""
        patches = cached.float().transpose(1, 2)
        # `unflatten` would fix a graph's batch.
        return _alone(patches.reshape(patches.shape[0], -1, *self.grid))

    def trained(self) -> tuple[nn.Parameter, ...]:
        """Nothing."""
        return ()


def _alone(features: Tensor) -> tuple[Tensor, Tensor]:
    """A map of which no statistics are known."""
    return features, features.new_zeros(features.shape[0], 0)


def as_map(output: Tensor, name: str) -> Tensor:
    """Maps stay; patch tokens (n, N, C) become (n, C, h, w), h = w, leading extra tokens cut."""
    if output.ndim == 4:
        return output
    if output.ndim != 3:
        raise TrainingError(f"{name} gives {tuple(output.shape)}, neither a map nor patch tokens")
    side = math.isqrt(output.shape[1])
    patches = output[:, -side * side :].transpose(1, 2)
    return patches.reshape(output.shape[0], -1, side, side)  # `len` would fix a graph's batch


def _normalised(pixels: Tensor, spec: PreprocessSpec) -> Tensor:
    """uint8 (n, s, s, 3) to float32 (n, 3, s, s)."""
    mean = torch.tensor(spec.mean, device=pixels.device)[:, None, None] * 255.0
    std = torch.tensor(spec.std, device=pixels.device)[:, None, None] * 255.0
    return (pixels.permute(0, 3, 1, 2).float() - mean) / std


def _last_blocks(network: nn.Module, count: int, name: str) -> list[nn.Module]:
    lists = [m for m in network.modules() if isinstance(m, nn.ModuleList | nn.Sequential)]
    longest = max(lists, key=len, default=nn.ModuleList())
    if count > len(longest):
        raise TrainingError(f"{name} has {len(longest)} blocks; light.trained_blocks is {count}")
    return list(longest.children())[len(longest) - count :]


def _load_gallery(bundle: Bundle, config: LightEncoderConfig) -> LightEncoder:
    """The gallery's network on smaller pictures.

    [ours] The paper's light network starts from ImageNet; this one starts where it is to arrive,
    and sees what the gallery's sees of pictures that no training set of ours shows.
    """
    gallery = bundle.manifest.image.preprocess
    half = round(GALLERY_SCALE * gallery.size / STRIDE) * STRIDE
    spec = gallery.model_copy(update={"size": config.size or half})
    return LiteEncoder(trunk_of_gallery(bundle), spec, config)


def _load_timm(name: str, config: LightEncoderConfig) -> LightEncoder:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "light-encoders") from error
    if not timm.is_model(name):
        raise TrainingError(f"timm has no model named {name}")
    network = timm.create_model(name, pretrained=True, num_classes=0, global_pool="")
    data = timm.data.resolve_model_data_config(network)
    size = config.size or data["input_size"][-1]
    spec = PreprocessSpec(size=size, fit=config.fit, mean=data["mean"], std=data["std"])
    return LibraryEncoder(network.eval(), spec, config.trained_blocks, config.name)


def _load_transformers(name: str, config: LightEncoderConfig) -> LightEncoder:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "light-encoders") from error
    try:
        network = transformers.AutoModel.from_pretrained(name)
        processor = transformers.AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise TrainingError(f"transformers cannot load {name}: {error}") from error
    network = getattr(network, "vision_model", network)
    size = config.size or getattr(network.config, "image_size", 224)
    spec = PreprocessSpec(
        size=size,
        fit=config.fit,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
    )
    return LibraryEncoder(network.eval(), spec, config.trained_blocks, config.name)
