"""Cached outputs of the frozen lower trunk: extracted once, read by every later run.

One file a view: view 0 is the picture as the bundle will see it, the others are augmented. A view
is (pictures, channels, height, width) float16 on disk, memory-mapped; a note of how many rows are
done lies beside it, so that an interrupted extraction goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.nn import functional

from composir.errors import ImageReadError, TrainingError
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.train.augment import augment
from composir.train.feature_cache import Progressed, filling, picture_stamp, read_note, write_note
from composir.train.isa.efficientnet_lite import PIXEL_MEAN, PIXEL_STD, EfficientNetLite
from composir.train.tracing import trace_to_onnx

HalfArray: TypeAlias = NDArray[np.float16]
Progress: TypeAlias = Callable[[int, int], None]
BATCH = 32
POOL = 3


def cached_view(
    folder: Path,
    files: Sequence[Path],
    trunk: EfficientNetLite,
    spec: PreprocessSpec,
    view: int,
    progress: Progress | None = None,
) -> HalfArray:
    """Open one view of the pictures below the trained stages, extracting what is not there yet.

    Args:
        folder: Where caches live.
        files: The pictures, in order.
        trunk: Its `lower` part is applied.
        spec: Preprocessing of the bundle.
        view: 0 for the plain picture, 1 and up for augmented ones (seeded by file and view).
        progress: Called with (done, total).

    Returns:
        (n, c, h, w) float16, memory-mapped, read-only.

    Raises:
        TrainingError: If a picture cannot be read; the message names it.
    """
    name = cache_name(files, trunk, spec, view)
    shape = (len(files), *_feature_shape(trunk, spec.size, pooled=False))
    return _fill(
        folder / f"{name}.f16",
        shape,
        lambda done: _extract(files, done, trunk, spec, view),
        progress,
    )


def cached_pooled(
    folder: Path,
    files: Sequence[Path],
    trunk: EfficientNetLite,
    spec: PreprocessSpec,
    view: int,
    progress: Progress | None = None,
) -> HalfArray:
    """Open one view as the whole frozen trunk sees it, averaged over `POOL` by `POOL` positions.

    A ninth of the bytes: with them the head trains in minutes; the joint stage then sees every
    position. (n, 1280, h, w); arguments and errors as `cached_view`.
    """
    name = cache_name(files, trunk, spec, view)
    shape = (len(files), *_feature_shape(trunk, spec.size, pooled=True))
    lower = cached_view(folder, files, trunk, spec, view, progress)

    def blocks(done: int) -> Iterator[tuple[int, HalfArray]]:
        device = next(trunk.parameters()).device
        for start in range(done, len(lower), BATCH):
            with torch.no_grad():
                rows = torch.from_numpy(np.array(lower[start : start + BATCH])).to(device).float()
                yield start, _pooled(trunk.upper(channels_last(rows))).half().cpu().numpy()

    return _fill(folder / f"{name}-pooled.f16", shape, blocks, progress)


def channels_last(features: torch.Tensor) -> torch.Tensor:
    """The memory order in which convolutions are fast on CPUs and GPUs."""
    return features.contiguous(memory_format=torch.channels_last)


def cache_name(
    files: Sequence[Path], trunk: EfficientNetLite, spec: PreprocessSpec, view: int
) -> str:
    """Name a view by everything that its numbers depend on."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    for file in files:
        digest.update(f"{picture_stamp(file)}\n".encode())
    weights = float(sum(p.detach().double().abs().sum() for p in trunk.parameters()))
    digest.update(f"{trunk.spec} {weights:.6e}".encode())
    return f"{digest.hexdigest()[:16]}-view{view}"


def _fill(
    path: Path,
    shape: tuple[int, ...],
    blocks: Callable[[int], Iterator[tuple[int, HalfArray]]],
    progress: Progress | None,
) -> HalfArray:
    """Write the rows that are missing, noting after each block how many are done."""
    note = path.with_suffix(".json")
    size = int(np.prod(shape)) * np.dtype(np.float16).itemsize
    with filling(path):
        done = read_note(note, {path: size}, shape[0]).done
        if done < shape[0]:
            rows = np.memmap(path, np.float16, "r+" if done else "w+", shape=shape)
            for start, block in blocks(done):
                rows[start : start + len(block)] = block
                rows.flush()
                write_note(note, Progressed(start + len(block)))
                if progress:
                    progress(start + len(block), shape[0])
    return np.memmap(path, np.float16, "r", shape=shape)


def _extract(
    files: Sequence[Path], done: int, trunk: EfficientNetLite, spec: PreprocessSpec, view: int
) -> Iterator[tuple[int, HalfArray]]:
    run = _lower_runner(trunk, spec.size)
    starts = range(done, len(files), BATCH)
    with ThreadPoolExecutor(2) as pool:
        waiting = []
        for start in starts:
            block = files[start : start + BATCH]
            waiting.append((start, [pool.submit(_pixels, f, spec, view) for f in block]))
            if len(waiting) > 2:
                yield _finish(waiting.pop(0), run)
        for item in waiting:
            yield _finish(item, run)


def _finish(
    item: tuple[int, list[Future[NDArray[np.uint8]]]],
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> tuple[int, HalfArray]:
    start, futures = item
    pixels = np.stack([future.result() for future in futures]).transpose(0, 3, 1, 2)
    normalised = (pixels.astype(np.float32) - PIXEL_MEAN) / PIXEL_STD
    return start, run(np.ascontiguousarray(normalised)).astype(np.float16)


def _pixels(file: Path, spec: PreprocessSpec, view: int) -> NDArray[np.uint8]:
    try:
        rgb = read_image(file, min_side=spec.size).rgb
    except ImageReadError as error:
        raise TrainingError(f"{file}: {error}; leave it out of the corpus") from error
    if view:
        seed = int.from_bytes(hashlib.sha256(f"{file.name}/{view}".encode()).digest()[:8], "big")
        rgb = augment(rgb, np.random.default_rng(seed))
    return spec.apply(rgb)


def _lower_runner(
    trunk: EfficientNetLite, size: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Run the lower trunk where it is fastest: the GPU if there is one, else ONNX Runtime."""
    if torch.cuda.is_available():
        on_device = trunk.to("cuda")

        def run_on_gpu(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                moved = channels_last(torch.from_numpy(pixels).cuda())
                features: NDArray[np.float32] = on_device.lower(moved).cpu().numpy()
                return features

        return run_on_gpu
    return _onnx_runner(trunk, size)


class _Lower(torch.nn.Module):
    def __init__(self, trunk: EfficientNetLite) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.trunk.lower(pixels)


def _onnx_runner(
    trunk: EfficientNetLite, size: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lower.onnx"
        pixels = torch.zeros(1, 3, size, size)
        trace_to_onnx(_Lower(trunk), {"pixels": pixels}, ["features"], path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["features"], {"pixels": pixels})[0]


def _pooled(features: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(features, POOL)


def _feature_shape(trunk: EfficientNetLite, size: int, *, pooled: bool) -> tuple[int, int, int]:
    with torch.no_grad():
        device = next(trunk.parameters()).device
        features = trunk.lower(torch.zeros(1, 3, size, size, device=device))
        shape = _pooled(trunk.upper(features)).shape if pooled else features.shape
    return int(shape[1]), int(shape[2]), int(shape[3])
