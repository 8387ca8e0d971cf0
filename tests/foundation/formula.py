"""Weights by formula, so that figures of another library can be kept without its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

ABOUT_ONE = ("bn.weight", "norm.weight", "identity.weight", "ln_1.weight", "ln_2.weight")


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.float32]]:
    """Noise that hangs on the name alone, on the scale that such a weight has."""
    return {name: _weight(name, tuple(shape)) for name, shape in shapes.items()}


def _weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    count = math.prod(shape)
    wave = _noise(np.arange(count), sum(name.encode()) % 97)
    if name.endswith("num_batches_tracked"):
        wave = np.zeros(count)
    elif name.endswith("running_var"):
        wave = 0.75 + 0.25 * wave
    elif name.endswith("gamma"):
        wave = 0.5 + 0.3 * wave
    elif name.endswith((*ABOUT_ONE, "ln_final.weight")):
        wave = 1.0 + 0.2 * wave
    elif name.endswith(("bias", "running_mean")):
        wave = wave * 0.1
    elif name.endswith("token_embedding.weight"):
        wave = wave * 2.0
    elif name == "logit_scale":
        wave = np.full(count, 3.0)
    else:
        wave = wave * 2.5 / math.sqrt(max(1, count // shape[0]))
    return np.asarray(wave.reshape(shape), dtype=np.float32)


def _noise(places: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """What looks like noise from -1 to 1, the same with every version of every library."""
    noise, _ = np.modf(np.sin(places * 12.9898 + seed * 78.233) * 43758.5453)
    return np.asarray(noise)


def picture(size: int, count: int) -> NDArray[np.uint8]:
    """(count, size, size, 3), each another pattern."""
    places = np.arange(size * size * 3) // 24  # patches of noise
    rows = [127.5 + (127 - 50 * one) * _noise(places, one) for one in range(count)]
    return np.stack(rows).reshape(count, size, size, 3).astype(np.uint8)
