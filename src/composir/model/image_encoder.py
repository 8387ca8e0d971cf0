"""Pictures to vectors on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from composir.errors import ModelError
from composir.model.bundle import Bundle
from composir.model.sessions import default_threads, open_session
from composir.preprocess import PreprocessSpec
from composir.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class ImageEncoder:
    """The gallery side's encoder; its session opens at the first picture.

    Threads share a call's pictures instead of the work inside one picture: each run of the graph
    takes few pictures on one thread, which is a seventh faster on two cores than the runtime's own
    threads and needs less memory (docs/lab.md).

    Attributes:
        batch_size: Pictures in one run of the graph; bounds the memory of large calls.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None, batch_size: int = 2) -> None:
        """Prepare; nothing is read yet.

        Args:
            bundle: The model.
            threads: How many runs at once; None for all cores.
            batch_size: Pictures in one run.
        """
        self.batch_size = batch_size
        self._bundle = bundle
        self._threads = threads or default_threads()

    @property
    def spec(self) -> PreprocessSpec:
        """How pictures become this encoder's input."""
        return self._bundle.manifest.image.preprocess

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Encode preprocessed pictures.

        Args:
            pixels: (n, size, size, 3) uint8.

        Returns:
            (n, D) float32, unit norm.

        Raises:
            ModelError: If the array has another shape or type.
        """
        expected = (self.spec.size, self.spec.size, 3)
        if pixels.ndim != 4 or pixels.shape[1:] != expected or pixels.dtype != np.uint8:
            raise ModelError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype}; "
                f"this model takes (n, {expected[0]}, {expected[1]}, 3) uint8"
            )
        starts = range(0, len(pixels), self.batch_size)
        batches = [pixels[start : start + self.batch_size] for start in starts]
        if not batches:
            return np.empty((0, self._bundle.manifest.dimension), dtype=np.float32)
        return np.concatenate(self._run_all(batches))

    def encode(self, images: Sequence[Image.Image]) -> FloatArray:
        """Preprocess and encode RGB pictures; (n, D) float32, unit norm."""
        shape = (0, self.spec.size, self.spec.size, 3)
        pixels = [self.spec.apply(image) for image in images]
        return self.encode_pixels(np.stack(pixels) if pixels else np.empty(shape, dtype=np.uint8))

    @cached_property
    def _session(self) -> InferenceSession:
        path = self._bundle.file(self._bundle.manifest.image.graph)
        return open_session(path, threads=1)

    def _run_all(self, batches: Sequence[PixelArray]) -> list[FloatArray]:
        workers = min(self._threads, len(batches))
        if workers == 1:
            return [self._run(batch) for batch in batches]
        self._session.get_inputs()  # open it here, once, not in several threads
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self._run, batches))

    def _run(self, pixels: PixelArray) -> FloatArray:
        vectors: FloatArray = self._session.run(["vector"], {"pixels": pixels})[0]
        return vectors
