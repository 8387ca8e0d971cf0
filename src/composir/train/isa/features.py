"""What the frozen part of the light encoder gives for training pictures, computed once and kept.

As `train.gallery_features`, of which it sees the same pictures and the same augmented crops.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from composir.train.feature_cache import PictureFile, filling, picture_stamp, read_note, write_note
from composir.train.gallery_features import Progress, read_pixels
from composir.train.isa.light_encoder import LightEncoder
from composir.train.tracing import trace_to_onnx
from composir.types import PixelArray

Rows: TypeAlias = NDArray[Any]
Runner: TypeAlias = Callable[[PixelArray], Rows]
BATCH = 32


@dataclass(frozen=True, slots=True)
class LightFeatures:
    """One view of the pictures.

    Attributes:
        rows: (n, ...) float16, or uint8 pixels where the whole network is trained; memory-mapped,
            one row for every given file.
        failures: Reason by row, for pictures that cannot be read; their rows are zeros.
    """

    rows: Rows
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
    spec = encoder.preprocess
    stem = cache / _cache_name(files, encoder, name, view)
    with filling(stem):
        store = _Store(stem, len(files), _example(encoder, spec.size))
        if store.done < len(files):
            run = _runner(encoder, spec.size)
            read_one = partial(read_pixels, spec=spec, view=view)
            with ThreadPoolExecutor(2) as pool:
                for start in range(store.done, len(files), BATCH):
                    store.add(start, list(pool.map(read_one, files[start : start + BATCH])), run)
                    if progress:
                        progress(store.done, len(files))
    return store.features()


class _Store:
    """A file of rows, and a note of how many are done and which could not be read."""

    def __init__(self, stem: Path, count: int, example: Tensor) -> None:
        self._path, self._note = stem.with_suffix(".rows"), stem.with_suffix(".json")
        self._kind: Any = np.uint8 if example.dtype == torch.uint8 else np.float16
        self._shape = (count, *example.shape[1:])
        size = int(np.prod(self._shape)) * np.dtype(self._kind).itemsize
        self._state = read_note(self._note, {self._path: size}, count)
        mode: Any = "r+" if self._state.done else "w+"
        self._rows: np.memmap[Any, Any] = np.memmap(self._path, self._kind, mode, shape=self._shape)

    @property
    def done(self) -> int:
        """How many files need no more work."""
        return self._state.done

    def add(self, start: int, read: Sequence[PixelArray | str], run: Runner) -> None:
        good = [place for place, pixels in enumerate(read) if not isinstance(pixels, str)]
        failed = {str(start + p): why for p, why in enumerate(read) if isinstance(why, str)}
        self._state.failed |= failed
        if good:
            pixels = np.stack([np.asarray(read[place], dtype=np.uint8) for place in good])
            self._rows[np.asarray(good) + start] = run(pixels).astype(self._kind)
            self._rows.flush()
        self._state.done = start + len(read)
        write_note(self._note, self._state)

    def features(self) -> LightFeatures:
        rows = np.memmap(self._path, self._kind, "r", shape=self._shape)
        return LightFeatures(rows, {int(row): why for row, why in self._state.failed.items()})


class _Lower(nn.Module):
    def __init__(self, encoder: LightEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        lower: Tensor = self.encoder.lower(pixels)
        return lower


def _example(encoder: LightEncoder, size: int) -> Tensor:
    device = next(encoder.parameters()).device
    with torch.no_grad():
        return encoder.lower(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=device))


def _runner(encoder: LightEncoder, size: int) -> Runner:
    """The frozen part where it is fastest: on the GPU, else through ONNX Runtime."""
    if _example(encoder, size).dtype == torch.uint8:
        return lambda pixels: pixels
    device = next(encoder.parameters()).device
    if device.type == "cpu":
        return _onnx_runner(encoder, size)
    return partial(_run_on, encoder, device)


def _run_on(encoder: LightEncoder, device: torch.device, pixels: PixelArray) -> Rows:
    with torch.inference_mode():
        features: Rows = encoder.lower(torch.from_numpy(pixels).to(device)).cpu().numpy()
        return features


def _onnx_runner(encoder: LightEncoder, size: int) -> Runner:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lower.onnx"
        pixels = torch.zeros(1, size, size, 3, dtype=torch.uint8)
        trace_to_onnx(_Lower(encoder), {"pixels": pixels}, ["features"], path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["features"], {"pixels": pixels})[0]


def _cache_name(files: Sequence[PictureFile], encoder: LightEncoder, name: str, view: int) -> str:
    weights = float(sum(p.detach().double().abs().sum() for p in encoder.parameters()))
    described = f"{name} {encoder.preprocess.model_dump_json()} {weights:.6e} {view}"
    digest = hashlib.sha256(described.encode())
    for file in files:
        digest.update(f"{picture_stamp(file)}\n".encode())
    return f"light-{digest.hexdigest()[:16]}-view{view}"
