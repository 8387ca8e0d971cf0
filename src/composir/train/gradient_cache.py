"""Gradient accumulation with the contrast of the whole batch (GradCache, arXiv 2101.06983).

A contrast needs every row's encoding at once, but not every row's activations: chunks are encoded
without gradients, the loss gives the gradient of each encoding, and chunks are encoded again, one
at a time, to carry those gradients into the weights. The sum equals the whole batch's gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from composir.train.workers import Workers

Chunk = TypeVar("Chunk")
Encodings: TypeAlias = tuple[Tensor, ...]


def backward_in_chunks(
    encode: Callable[[Chunk], Encodings],
    chunks: Sequence[Chunk],
    contrast: Callable[..., Tensor],
    workers: Workers | None = None,
) -> Tensor:
    """Add the gradients of a batch's loss to all weights that `encode` uses.

    Random draws of `encode` (dropout) are the same in both passes.
    """
    together = workers or Workers()
    draws, parts = [], []
    for chunk in chunks:
        draws.append(_random_state())
        with torch.no_grad():
            parts.append(encode(chunk))
    own = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
    whole = [together.gather(tensor).detach().requires_grad_() for tensor in own]
    loss = contrast(*whole)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [_own_gradient(w, o, together.rank) for w, o in zip(whole, own, strict=True)]
    after = _random_state()
    done = [0] * len(own)
    for chunk, draw in zip(chunks, draws, strict=True):
        _restore(draw)
        done = _carry(encode(chunk), gradients, done)
    _restore(after)
    return loss.detach()


def _own_gradient(whole: Tensor, own: Tensor, rank: int) -> Tensor:
    gradient = torch.zeros_like(whole) if whole.grad is None else whole.grad
    return gradient[rank * len(own) : (rank + 1) * len(own)]


def _carry(encodings: Encodings, gradients: Sequence[Tensor], done: Sequence[int]) -> list[int]:
    """Backward through one chunk; how many rows of each tensor are done then."""
    reached = [at + len(tensor) for at, tensor in zip(done, encodings, strict=True)]
    pairs = [
        (tensor, gradient[at:to])
        for tensor, gradient, at, to in zip(encodings, gradients, done, reached, strict=True)
        if tensor.requires_grad
    ]
    torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
    return reached


def _random_state() -> tuple[Tensor, Sequence[Tensor]]:
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
    return torch.get_rng_state(), gpus


def _restore(state: tuple[Tensor, Sequence[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(list(state[1]))
