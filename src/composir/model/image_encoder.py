"""Pictures to vectors on ONNX Runtime."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from composir.errors import ModelError
from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import Bundle
from composir.model.device import CPU, Device
from composir.model.once import once_property
from composir.model.pace import (
    Pace,
    best_pace,
    known_pace,
    other_paces,
    pace_key,
    remember_pace,
    usual_pace,
)
from composir.model.sessions import (
    check_graph,
    check_threads,
    checked_vectors,
    default_threads,
    open_session,
    run_graph,
)
from composir.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PATCHES = "patch_tokens"
_FEW = 8  # pictures of one call that are remembered; an index run has more
_MOST_RECENT = 16


class ImageEncoder:
    """The gallery side's encoder; its session opens at the first picture.

    On a CPU, threads share a call's pictures instead of the work inside one picture: each run of
    the graph takes few pictures on one thread, which is a seventh faster on two cores than the
    runtime's own threads and needs less memory (docs/lab.md).
    """

    def __init__(
        self, bundle: Bundle, threads: int | None = None, device: Device | None = None
    ) -> None:
        """Prepare; nothing is read yet."""
        self._bundle = bundle
        check_threads(threads)
        self._threads = threads or default_threads()
        self._device = device or Device(CPU)
        self._pace: Pace | None = None
        self._recent = _Recent()

    @property
    def pace(self) -> Pace:
        """How many pictures a run takes, and how many runs there are at once."""
        return self._pace or usual_pace(self._device.name, self._threads)

    @property
    def spec(self) -> PreprocessSpec:
        """How pictures become this encoder's input."""
        return self._bundle.manifest.image.preprocess

    def prepare(self) -> None:
        """Open the graph now instead of at the first picture.

        Raises:
            BundleError: If it is damaged.
            ModelError: If the runtime refuses it.
        """
        _ = self._session

    def find_pace(self) -> Pace:
        """Measure the best pace here and now, unless that is known, and take it from now on."""
        self.prepare()  # first, for the CPU may have to take the device's place
        key = pace_key(self._bundle.fingerprint, self._device.name, self._threads)
        found = known_pace(key)
        if found is None:
            usual = usual_pace(self._device.name, self._threads)
            found = best_pace(usual, other_paces(usual, self._device.name), self._try_pace)
            remember_pace(key, found)
        self._pace = found
        return found

    def _try_pace(self, pace: Pace) -> None:
        self._pace = pace
        size = self.spec.size
        self.encode_pixels(np.zeros((max(2, pace.pictures), size, size, 3), dtype=np.uint8))

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
        return self._encode(pixels, ("vector",))[0]

    def encode(self, images: Sequence[Image.Image]) -> FloatArray:
        """Preprocess and encode RGB pictures; (n, D) float32, unit norm."""
        return self.encode_pixels(self.spec.apply_each(images))

    def encode_patches(self, pixels: PixelArray) -> tuple[FloatArray, FloatArray]:
        """Encode preprocessed pictures, and keep what the encoder saw where.

        Args:
            pixels: (n, size, size, 3) uint8; a few that were encoded just before are not run again.

        Returns:
            Vectors (n, D) float32, unit norm, and patch tokens (n, N, Dp) float32.

        Raises:
            ModelError: If the bundle's graph gives no patch tokens.
        """
        if PATCHES not in self._outputs:
            raise ModelError(
                f"the bundle {self._bundle.folder} has no spatial features: its image graph gives "
                f"no {PATCHES}; export it again with this version"
            )
        vectors, patches = self._encode(pixels, ("vector", PATCHES))
        return vectors, patches

    @once_property
    def _session(self) -> InferenceSession:
        path = self._bundle.file(self._bundle.manifest.image.graph)
        on_cpu = self._device.name == CPU
        session = open_session(path, 1 if on_cpu else self._threads, device=self._device)
        if self._device.name == CPU and not on_cpu:  # the CPU took its place, with other habits
            session = open_session(path, 1)
        check_graph(session, path, {"pixels"}, {"vector"})
        return session

    @once_property
    def _outputs(self) -> frozenset[str]:
        return frozenset(output.name for output in self._session.get_outputs())

    def _encode(self, pixels: PixelArray, names: Sequence[str]) -> list[FloatArray]:
        if not len(pixels):
            empty = np.empty((0, self._bundle.manifest.dimension), dtype=np.float32)
            return [
                empty if name == "vector" else np.empty((0, 0, 0), np.float32) for name in names
            ]
        return (
            self._encode_few(pixels, names) if len(pixels) <= _FEW else self._run_all(pixels, names)
        )

    def _encode_few(self, pixels: PixelArray, names: Sequence[str]) -> list[FloatArray]:
        """A search asks for its reference's vector, and then its composer for the patch tokens."""
        keys = [blake2b(picture.tobytes(), digest_size=16).digest() for picture in pixels]
        known = self._recent.find(keys)
        places = {key: place for place, key in enumerate(keys) if key not in known}
        if places:
            every = sorted(self._outputs & {"vector", PATCHES})
            made = self._run_all(pixels[list(places.values())], every)
            new = {
                key: {name: rows[row] for name, rows in zip(every, made, strict=True)}
                for row, key in enumerate(places)
            }
            self._recent.keep(new)
            known |= new
        return [np.stack([known[key][name] for key in keys]) for name in names]

    def _run_all(self, pixels: PixelArray, names: Sequence[str]) -> list[FloatArray]:
        _ = self._session  # open it here, once, not in several threads; it may change the pace
        size = self.pace.batch
        batches = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        parts = self._run_side_by_side(batches, names)
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run_side_by_side(
        self, batches: Sequence[PixelArray], names: Sequence[str]
    ) -> list[list[FloatArray]]:
        workers = min(self.pace.runs, len(batches))
        run = partial(self._run, names=names)
        if workers == 1:
            return [run(batch) for batch in batches]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(run, batches))

    def _run(self, pixels: PixelArray, names: Sequence[str]) -> list[FloatArray]:
        path = self._bundle.file(self._bundle.manifest.image.graph)
        found = dict(
            zip(names, run_graph(self._session, path, names, {"pixels": pixels}), strict=True)
        )
        if "vector" in found:
            width = self._bundle.manifest.dimension
            found["vector"] = checked_vectors(path, found["vector"], len(pixels), width)
        return [found[name] for name in names]


class _Recent:
    """What the graph gave for the last few pictures, by their pixels; safe among threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[bytes, Mapping[str, FloatArray]] = OrderedDict()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Mapping[str, FloatArray]]:
        with self._lock:
            return {key: self._kept[key] for key in keys if key in self._kept}

    def keep(self, made: Mapping[bytes, Mapping[str, FloatArray]]) -> None:
        with self._lock:
            self._kept.update(made)
            while len(self._kept) > _MOST_RECENT:
                self._kept.popitem(last=False)
