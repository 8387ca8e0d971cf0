"""A GPU that is not there: its tensors say so, and refuse to meet those of the CPU.

All is computed on the CPU, so that whole runs go through, evaluation and export included, which
torch's own fake tensors, without numbers, do not allow. What fails on a machine with a GPU fails
here: operations on tensors of two devices (but for places of an index, copies and single numbers),
and `numpy()` of a tensor that was not brought back. The device is `meta`, the one besides the CPU
that every build of torch has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map_only

CPU, GPU = torch.device("cpu"), torch.device("meta")
_MIX = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
    torch.ops.aten.copy_.default,
}
"""What takes tensors of another device than its first, as on a real machine."""


class OnGpu(Tensor):
    """A tensor on the pretended GPU; its numbers are `held`, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        made: OnGpu = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=GPU,
        )
        made.held = held
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """For checkpoints."""
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(parts: Mapping[str, Tensor], *_: Any) -> OnGpu:
        return OnGpu(parts["held"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operation: Any, _: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(operation, args, kwargs or {})


def _computed(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What an operation gives, on the device where a real one would give it."""
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
    lost = [part for part in tensors if part.is_meta and not isinstance(part, OnGpu)]
    assert not lost, f"{operation} is given a tensor without numbers"
    there = {isinstance(part, OnGpu) for part in tensors if part.ndim}
    if len(there) > 1 and operation not in _MIX:
        raise RuntimeError(f"{operation}: some tensors are on the GPU, and some on the CPU")
    first = tensors[:1] if operation in _MIX else tensors
    on_gpu = any(isinstance(part, OnGpu) for part in first)
    device = kwargs.get("device")
    if device is not None:
        on_gpu = torch.device(device) == GPU
        kwargs = {**kwargs, "device": CPU}
    held, named = tree_map_only(OnGpu, lambda part: part.held, (args, dict(kwargs)))
    made = operation(*held, **named)
    if operation._schema.is_mutable and args:  # in place
        return args[0] if isinstance(args[0], Tensor) else None
    return tree_map_only(Tensor, OnGpu, made) if on_gpu else made


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Also those on tensors of the CPU, and those that make tensors."""

    def __torch_dispatch__(self, operation: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(operation, args, kwargs or {})


class _Lists(TorchFunctionMode):
    """What torch does with Python's and numpy's numbers before any mode sees it."""

    def __torch_function__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is Tensor.tolist:
            return args[0].cpu().tolist()
        if function is Tensor.__getitem__ and isinstance(args[1], list | np.ndarray):
            return args[0][torch.from_numpy(np.asarray(args[1], dtype=np.int64))]
        if function in {torch.tensor, torch.as_tensor} and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        return function(*args, **kwargs)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Recipes train on it, whatever there is; graphs are exported without it."""
    export: Callable[..., Any] = torch.onnx.export

    def aside(*words: Any, **options: Any) -> None:
        with _disable_current_modes():
            export(*words, **options)

    operations = _Operations()  # type: ignore[no-untyped-call]
    with pytest.MonkeyPatch.context() as patch, operations, _Lists():
        patch.setattr(torch.onnx, "export", aside)
        patch.setattr(torch, "inference_mode", torch.no_grad)  # subclasses have no views in it
        patch.setattr("composir.train.workers.training_device", lambda _name="auto": GPU)
        yield
