"""What the frozen part of the light encoder gives for training pictures, computed once and kept.

As `train.gallery_features`, of which it sees the same pictures and the same augmented crops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composir.encode.encoders import Encoder, Progress, encode_images
from composir.encode.stored import RowKind, StoredRows
from composir.train.gallery_features import PictureFile, feature_store, image_files
from composir.train.isa.light_encoder import LightEncoder
from composir.train.tracing import lower_runner
from composir.types import PixelArray

Array: TypeAlias = NDArray[Any]
Runner: TypeAlias = Callable[[PixelArray], Array]
BATCH = 32


@dataclass(frozen=True, slots=True)
class LightFeatures:
    """One view of the pictures.

    Attributes:
        rows: (n, ...) float16, or uint8 pixels where the whole network is trained, read from disk
            where they are indexed; one row for every given file.
        failures: Reason by row, for pictures that cannot be read; their rows say nothing.
    """

    rows: StoredRows | Array
    failures: Mapping[int, str]


def light_features(
    cache: Path,
    files: Sequence[PictureFile],
    encoder: LightEncoder,
    name: str,
    view: int,
    progress: Progress | None = None,
) -> LightFeatures:
    """Open one view, computing what is not cached yet; goes on where it was interrupted.

    Args:
        cache: Folder of caches; made if missing.
        files: The pictures, in order.
        encoder: The light side's network.
        name: What the cached numbers depend on beside the encoder's weights and preprocessing.
        view: 0 for the plain picture, 1 and up for augmented ones.
        progress: Called with (done, total).
    """
    example = _example(encoder)
    dtype = "uint8" if example.dtype == torch.uint8 else "float16"
    weights = float(sum(p.detach().double().abs().sum() for p in encoder.parameters()))
    made_by = f"{name} {encoder.preprocess.model_dump_json()} {weights:.6e}"
    kind = RowKind("light", made_by, tuple(example.shape[1:]), dtype)
    run = functools.cache(lambda: _runner(encoder))
    light = Encoder((kind,), encoder.preprocess, lambda pixels: (run()(pixels),), BATCH)
    store = feature_store(cache)
    found = encode_images(image_files(files), light, store, view=view, progress=progress)
    places = np.zeros(len(files), dtype=np.int64)
    places[found.kept] = np.arange(len(found.kept))
    rows = found.rows[0]
    return LightFeatures(rows.part(places) if len(rows) else rows, found.failures)


def _example(encoder: LightEncoder) -> Tensor:
    size = encoder.preprocess.size
    device = next(encoder.parameters()).device
    with torch.no_grad():
        return encoder.lower(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=device))


def _runner(encoder: LightEncoder) -> Runner:
    """The frozen part where it is fastest: on the GPU, else through ONNX Runtime."""
    if _example(encoder).dtype == torch.uint8:
        return lambda pixels: pixels
    device = next(encoder.parameters()).device
    if device.type == "cpu":
        size = encoder.preprocess.size
        return lower_runner(encoder, torch.zeros(1, size, size, 3, dtype=torch.uint8))
    return partial(_run_on, encoder, device)


def _run_on(encoder: LightEncoder, device: torch.device, pixels: PixelArray) -> Array:
    with torch.inference_mode():
        features: Array = encoder.lower(torch.from_numpy(pixels).to(device)).cpu().numpy()
        return features
