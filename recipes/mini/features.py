"""Cached outputs of the frozen lower trunk: extracted once, read by every later run.

View 0 is the picture as the bundle will see it, the others are augmented. A view is (pictures,
channels, height, width) float16 in a store (`composir.encode`), read where it is indexed; an
interrupted extraction goes on where it stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from composir.encode.encoders import Encoder, Progress, encode_images
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.stored import RowKind, StoredRows
from composir.errors import TrainingError
from composir.images.preprocess import PreprocessSpec
from composir.train.composer_export import HasLower, lower_runner
from composir.train.isa.efficientnet_lite import PIXEL_MEAN, PIXEL_STD, EfficientNetLite
from composir.types import PixelArray

Run: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
POOL = 3


def cached_view(
    folder: Path,
    files: Sequence[Path],
    trunk: EfficientNetLite,
    spec: PreprocessSpec,
    view: int,
    progress: Progress | None = None,
    *,
    pooled: bool = False,
) -> StoredRows:
    """Open one view of the pictures below the trained stages, extracting what is not there yet.

    Args:
        folder: Where caches live.
        files: The pictures, in order.
        trunk: Its `lower` part is applied.
        spec: Preprocessing of the bundle.
        view: 0 for the plain picture, 1 and up for augmented ones (seeded by file and view).
        progress: Called with (done, total).
        pooled: As the whole frozen trunk sees it, averaged over `POOL` by `POOL` positions: a ninth
            of the bytes, with which the head trains in minutes. The joint stage then sees all.

    Returns:
        (n, c, h, w) float16; (n, 1280, h, w) if pooled.

    Raises:
        TrainingError: If a picture cannot be read; the message names it.
    """
    encoder = _encoder(trunk, spec, pooled=pooled)
    pictures = [ImageFile(file) for file in files]
    store = FeatureStore(folder)
    found = encode_images(
        pictures, encoder, store, view=view, progress=progress, failed=refusal(files)
    )
    return found.rows[-1]


def refusal(files: Sequence[Path]) -> Callable[[int, str], None]:
    """What stops an extraction at the first of these pictures that cannot be read."""

    def refuse(place: int, reason: str) -> None:
        raise TrainingError(f"{files[place]}: {reason}; leave it out of the corpus")

    return refuse


def made_by(trunk: EfficientNetLite, spec: PreprocessSpec) -> str:
    """Everything that a trunk's numbers depend on, beside the picture."""
    weights = float(sum(p.detach().double().abs().sum() for p in trunk.parameters()))
    return f"{spec.model_dump_json()} {trunk.spec} {weights:.6e}"


def _encoder(trunk: EfficientNetLite, spec: PreprocessSpec, *, pooled: bool) -> Encoder:
    """The lower trunk; if pooled, the whole of it after that."""
    maker = made_by(trunk, spec)
    kinds = [RowKind("lower", maker, _feature_shape(trunk, spec.size, pooled=False), "float16")]
    if pooled:
        kinds.append(
            RowKind("pooled", maker, _feature_shape(trunk, spec.size, pooled=True), "float16")
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    runner = functools.cache(lambda: fastest(trunk.to(device), spec.size))

    def run(pixels: PixelArray) -> list[NDArray[np.float16]]:
        lower = runner()(normalised(pixels)).astype(np.float16)
        return [lower, _upper(trunk, lower)] if pooled else [lower]

    return Encoder(tuple(kinds), spec, run, min_side=spec.size)


def _upper(trunk: EfficientNetLite, lower: NDArray[np.float16]) -> NDArray[np.float16]:
    device = next(trunk.parameters()).device
    with torch.no_grad():
        rows = torch.from_numpy(lower).to(device).float()
        features: NDArray[np.float16] = (
            _pooled(trunk.upper(channels_last(rows))).half().cpu().numpy()
        )
        return features


def channels_last(features: torch.Tensor) -> torch.Tensor:
    """The memory order in which convolutions are fast on CPUs and GPUs."""
    return features.contiguous(memory_format=torch.channels_last)


def normalised(pixels: PixelArray) -> NDArray[np.float32]:
    """uint8 (n, s, s, 3) to what a trunk reads, (n, 3, s, s)."""
    moved = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray((moved - PIXEL_MEAN) / PIXEL_STD)


def fastest(network: HasLower, size: int) -> Run:
    """Run a network's `lower` where it is fastest: the GPU if there is one, else ONNX Runtime.

    Args:
        network: Its `lower` takes normalised pixels (n, 3, size, size); on the GPU where there is
            one.
        size: Side of the pictures.
    """
    if torch.cuda.is_available():

        def run_on_gpu(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                moved = channels_last(torch.from_numpy(pixels).cuda())
                features: NDArray[np.float32] = network.lower(moved).cpu().numpy()
                return features

        return run_on_gpu
    return lower_runner(network, torch.zeros(1, 3, size, size))


def _pooled(features: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(features, POOL)


def _feature_shape(trunk: EfficientNetLite, size: int, *, pooled: bool) -> tuple[int, int, int]:
    with torch.no_grad():
        device = next(trunk.parameters()).device
        features = trunk.lower(torch.zeros(1, 3, size, size, device=device))
        shape = _pooled(trunk.upper(features)).shape if pooled else features.shape
    return int(shape[1]), int(shape[2]), int(shape[3])
