"""Weights of other libraries' models under the names of our towers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from composir.errors import ModelError

_Module = TypeVar("_Module", bound=nn.Module)
# Parts of a transformer's block, by ours; several become one matrix, one below the other.
Names: TypeAlias = Mapping[str, tuple[str, ...]]
BLOCK: Names = {
    "query_key_value": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_norm": ("layer_norm1",),
    "output": ("self_attn.out_proj",),
    "norm": ("layer_norm2",),
    "expand": ("mlp.fc1",),
    "contract": ("mlp.fc2",),
}
"""As in transformers' CLIP and SigLIP."""


class WeightSource:
    """A checkpoint's weights, with errors that name the missing one."""

    def __init__(self, state: Mapping[str, Tensor], place: str) -> None:
        self.state, self.place = state, place

    def __getitem__(self, name: str) -> Tensor:
        """One weight, float32."""
        if name not in self.state:
            raise ModelError(f"the weights in {self.place} are incomplete: {name} is missing")
        return self.state[name].float()

    def layer(self, ours: str, theirs: str, *, bias: bool = True) -> dict[str, Tensor]:
        """Weight and bias of one layer."""
        kinds = ("weight", "bias") if bias else ("weight",)
        return {f"{ours}.{kind}": self[f"{theirs}.{kind}"] for kind in kinds}

    def blocks(self, layers: str, count: int, names: Names = BLOCK) -> dict[str, Tensor]:
        """A transformer's blocks."""
        return {
            f"blocks.{index}.{name}": tensor
            for index in range(count)
            for name, tensor in self.parts(f"{layers}.{index}", names).items()
        }

    def parts(self, place: str, names: Names) -> dict[str, Tensor]:
        """Weights and biases of several layers."""
        return {
            f"{ours}.{kind}": torch.cat([self[f"{place}.{name}.{kind}"] for name in theirs])
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        }

    def fill(self, tower: _Module, state: Mapping[str, Tensor]) -> _Module:
        """Load a tower, which goes to evaluation mode."""
        problem = f"the weights in {self.place} are not of the sizes that its configuration says"
        return fill(tower, state, problem)


def fill(module: _Module, state: Mapping[str, Tensor], problem: str) -> _Module:
    """Load weights into a module, which goes to evaluation mode."""
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ModelError(f"{problem}: {str(error).splitlines()[-1].strip()}") from error
    return module.eval()


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's weights as safetensors."""
    from safetensors.torch import save_file

    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    save_file(state, str(path))


def saved_weights(path: Path, problem: str) -> Mapping[str, Tensor]:
    """What `save_weights` wrote."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: Mapping[str, Tensor] = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{problem}: {error}") from error
    return state
