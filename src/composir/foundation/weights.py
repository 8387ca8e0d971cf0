"""Weights of transformers' CLIP and SigLIP under the names of our towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from composir.errors import ModelError

_Tower = TypeVar("_Tower", bound=nn.Module)
_LAYER = {
    "attention_norm": "layer_norm1",
    "output": "self_attn.out_proj",
    "norm": "layer_norm2",
    "expand": "mlp.fc1",
    "contract": "mlp.fc2",
}


class Source:
    """A checkpoint's weights, with errors that name the missing one."""

    def __init__(self, state: Mapping[str, Tensor], place: str) -> None:
        """Wrap.

        Args:
            state: Weights by name.
            place: Where they come from, for messages.
        """
        self.state, self.place = state, place

    def __getitem__(self, name: str) -> Tensor:
        """One weight, float32.

        Raises:
            ModelError: If there is none of that name.
        """
        if name not in self.state:
            raise ModelError(f"the weights in {self.place} are incomplete: {name} is missing")
        return self.state[name].float()

    def layer(self, ours: str, theirs: str, *, bias: bool = True) -> dict[str, Tensor]:
        """Weight and bias of one layer."""
        kinds = ("weight", "bias") if bias else ("weight",)
        return {f"{ours}.{kind}": self[f"{theirs}.{kind}"] for kind in kinds}

    def blocks(self, encoder: str, count: int) -> dict[str, Tensor]:
        """A transformer's blocks; query, key and value become one matrix."""
        renamed: dict[str, Tensor] = {}
        for index in range(count):
            source, target = f"{encoder}.layers.{index}", f"blocks.{index}"
            for kind in ("weight", "bias"):
                rows = [self[f"{source}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                renamed[f"{target}.query_key_value.{kind}"] = torch.cat(rows)
            for ours, theirs in _LAYER.items():
                renamed |= self.layer(f"{target}.{ours}", f"{source}.{theirs}")
        return renamed

    def fill(self, tower: _Tower, state: Mapping[str, Tensor]) -> _Tower:
        """Load a tower, which goes to evaluation mode.

        Raises:
            ModelError: If the weights are of other sizes than the config says.
        """
        try:
            tower.load_state_dict(dict(state))
        except RuntimeError as error:
            raise ModelError(
                f"the weights in {self.place} are not of the sizes that its config.json says: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from error
        return tower.eval()
