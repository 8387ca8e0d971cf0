"""Composing adapters: a few trained weights in every block of a frozen text tower.

The frozen tower composes as badly as captions taught it: "a photo of [w] that is red" is not how
people write. Adapters teach it that sentence (Map-to-Compose, arXiv 2504.17990, stage 2) without
touching a weight of it: they live in a second tower that shares the frozen weights, so the tower
itself stays as it was, bit for bit.

Two kinds, both starting at exactly the frozen tower because their last matrix is zero:

- *bottleneck* (Houlsby et al. 2019, arXiv 1902.00751): `h + Up(GELU(Down(h)))` on what attention
  and what the feed-forward part of a block add to the residual stream;
- *LoRA* (Hu et al. 2021, arXiv 2106.09685): `W x + (alpha / r) B A x` in the attention matrices.

[ours] Where gallery vectors have an appearance part, on which texts have zeros, a further adapter
on the head says what a modification changes there: whether a cup has stripes is in that part too,
and a query that keeps all of the reference's finds the reference's pattern again.
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.foundation.text_tower import TextTower
from composir.train.config import Between, Dropout, Settings, Weight, Width

# Layers of a block that each kind sits on: outputs of both parts, or the attention's matrices.
PLACES = {"bottleneck": ("output", "contract"), "lora": ("query_key_value", "output")}


class AdapterConfig(Settings):
    """Which adapters.

    Attributes:
        kind: `bottleneck` or `lora`.
        width: Of the bottleneck, or LoRA's rank.
        alpha: LoRA's scale is `alpha / width`; the bottleneck has none.
        dropout: On the bottleneck's hidden units, or on LoRA's input.
        appearance: Hidden width of the appearance part's adapter; 0 for none. A model without such
            a part has none.
    """

    kind: Literal["bottleneck", "lora"] = "bottleneck"
    width: Width = 64
    alpha: Weight = 64.0
    dropout: Dropout = 0.1
    appearance: Annotated[int, Between(0, 16_384)] = 64


class Adapter(nn.Module):
    """What all kinds share: each sentence can be read without the adapter's correction.

    Attributes:
        switch: (n,) of ones and zeros, by sentence; None where all are read with adapters.
        dropout: Of the adapter's own.
    """

    switch: Tensor | None
    dropout: nn.Dropout

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.switch, self.dropout = None, nn.Dropout(dropout)

    def switched(self, correction: Tensor) -> Tensor:
        """The correction (n, …), zero for sentences that are read without adapters."""
        if self.switch is None:
            return correction
        return correction * self.switch.view(-1, *([1] * (correction.ndim - 1)))


class Bottleneck(Adapter):
    """A linear layer followed by a residual bottleneck on its output."""

    def __init__(self, linear: nn.Linear, config: AdapterConfig) -> None:
        """Wrap a layer; the up projection starts at zero."""
        super().__init__(config.dropout)
        self.linear = linear
        self.down = nn.Linear(linear.out_features, config.width)
        self.up = nn.Linear(config.width, linear.out_features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        hidden: Tensor = self.linear(inputs)
        correction: Tensor = self.up(self.dropout(functional.gelu(self.down(hidden))))
        return hidden + self.switched(correction)


class LowRank(Adapter):
    """A linear layer whose matrix gets a low-rank addition."""

    def __init__(self, linear: nn.Linear, config: AdapterConfig) -> None:
        """Wrap a layer; the up matrix starts at zero."""
        super().__init__(config.dropout)
        self.linear = linear
        self.down = nn.Linear(linear.in_features, config.width, bias=False)
        self.up = nn.Linear(config.width, linear.out_features, bias=False)
        self.scale = config.alpha / config.width
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        hidden: Tensor = self.linear(inputs)
        correction: Tensor = self.up(self.down(self.dropout(inputs)))
        return hidden + self.scale * self.switched(correction)


class AppearanceWords(Adapter):
    """What a sentence says of appearance: `u = Up(GELU(Down(h)))` of its pooled state `h`."""

    def __init__(self, width: int, appearance: int, config: AdapterConfig) -> None:
        """Build; the up projection starts at zero."""
        super().__init__(config.dropout)
        self.down = nn.Linear(width, config.appearance)
        self.up = nn.Linear(config.appearance, appearance)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(n, width) -> (n, appearance)."""
        correction: Tensor = self.up(self.dropout(functional.gelu(self.down(pooled))))
        return self.switched(correction)


OWN = ("down.", "up.")


class AdaptedTower:
    """A frozen text tower, and its twin with adapters in every block.

    Attributes:
        frozen: The tower, untouched: adapters off.
        adapted: A tower around the same weights that holds the adapters: adapters on.
    """

    def __init__(self, tower: TextTower, config: AdapterConfig) -> None:
        self.frozen = tower
        # A copy of the modules around the same parameters.
        self.adapted = copy.deepcopy(tower, {id(weight): weight for weight in tower.parameters()})
        self._adapters = [
            adapter for block in self.adapted.blocks for adapter in _adapt(block, config)
        ]
        spec = tower.spec
        if spec.appearance and config.appearance:
            words = AppearanceWords(spec.width, spec.appearance, config)
            self.adapted.appearance = words
            self._adapters.append(words)
        self.adapted.to(tower.positions.device)

    def train(self, *, mode: bool = True) -> None:
        """Turn the adapters' dropout on or off; the frozen parts always stay in evaluation mode."""
        self.adapted.eval()
        for adapter in self._adapters:
            adapter.dropout.train(mode)

    def trained(self) -> dict[str, nn.Parameter]:
        """The adapters' own weights by name, in a fixed order."""
        return {
            f"{number}.{name}": parameter
            for number, adapter in enumerate(self._adapters)
            for name, parameter in adapter.named_parameters()
            if name.startswith(OWN)
        }

    def reset(self) -> None:
        """Back to the frozen tower: the last matrix of every adapter to zero."""
        with torch.no_grad():
            for name, parameter in self.trained().items():
                if ".up." in name:
                    parameter.zero_()

    def parameter_count(self) -> int:
        """Trained parameters."""
        return sum(parameter.numel() for parameter in self.trained().values())

    def switchable(self) -> SwitchableTower:
        """The adapted tower as a module whose sentences say whether the adapters read them."""
        return SwitchableTower(self.adapted)


class SwitchableTower(nn.Module):
    """One adapted tower for both readings of a sentence: this is what gets exported."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        self.tower, self.width = tower, tower.spec.width

    def forward(
        self, words: Tensor, mask: Tensor, adapters: Tensor, eot: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode sentences, as `TextTower.forward`.

        `adapters` (n,) float32 is 1 where adapters read a sentence, and 0 where they are off: those
        vectors are the frozen tower's.
        """
        held = [module for module in self.tower.modules() if isinstance(module, Adapter)]
        try:
            for adapter in held:
                adapter.switch = adapters
            outputs: tuple[Tensor, Tensor] = self.tower(words, mask, eot)
            return outputs
        finally:
            for adapter in held:
                adapter.switch = None


def _adapt(block: nn.Module, config: AdapterConfig) -> list[Adapter]:
    """Put adapters into a block; the adapters, in a fixed order."""
    kind: type[Bottleneck | LowRank] = LowRank if config.kind == "lora" else Bottleneck
    adapters: list[Adapter] = []
    for name in PLACES[config.kind]:
        adapters.append(kind(getattr(block, name), config))
        setattr(block, name, adapters[-1])
    return adapters
