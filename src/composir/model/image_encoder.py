"""Pictures to vectors on ONNX Runtime."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path
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
_SMALL = 100 << 20
"""Bytes of a graph that may be held twice; as float32 in memory it may be four times as large."""


class ImageEncoder:
    """The gallery side's encoder; its session opens at the first picture.

    On a CPU, threads share a call's pictures instead of the work inside one picture: each run of
    the graph takes few pictures on one thread, which is a seventh faster on two cores than the
    runtime's own threads and needs less memory (docs/lab.md). One picture alone, as a search has
    it, is worked at by all threads, unless the graph is too large to be held twice.
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
        """Open the graph for a search now instead of at the first picture.

        Raises:
            BundleError: If it is damaged.
            ModelError: If the runtime refuses it.
        """
        _ = self._session_for(1)

    def find_pace(self) -> Pace:
        """Measure the best pace here and now, unless that is known, and take it from now on."""
        _ = self._session  # first, for the CPU may have to take the device's place
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
        if PATCHES not in self._outputs(len(pixels)):
            raise ModelError(
                f"the bundle {self._bundle.folder} has no spatial features: its image graph gives "
                f"no {PATCHES}; export it again with this version"
            )
        vectors, patches = self._encode(pixels, ("vector", PATCHES))
        return vectors, patches

    @once_property
    def _session(self) -> InferenceSession:
        on_cpu = self._device.name == CPU
        session = self._opened(1 if on_cpu else self._threads)
        if self._device.name == CPU and not on_cpu:  # the CPU took its place, with other habits
            session = self._opened(1)
        return session

    @once_property
    def _session_of_all_threads(self) -> InferenceSession:
        return self._opened(self._threads)

    def _session_for(self, pictures: int) -> InferenceSession:
        """The session that a call of so many pictures goes to."""
        if self._device.name != CPU:
            _ = self._session  # the CPU may have to take its place
        is_small = self._path.stat().st_size <= _SMALL
        if self._device.name == CPU and self._threads > 1 and pictures == 1 and is_small:
            return self._session_of_all_threads
        return self._session

    def _opened(self, threads: int) -> InferenceSession:
        session = open_session(self._path, threads, device=self._device)
        check_graph(session, self._path, {"pixels"}, {"vector"})
        return session

    @property
    def _path(self) -> Path:
        return self._bundle.file(self._bundle.manifest.image.graph)

    def _outputs(self, pictures: int) -> frozenset[str]:
        return frozenset(output.name for output in self._session_for(pictures).get_outputs())

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
            every = sorted(self._outputs(len(places)) & {"vector", PATCHES})
            made = self._run_all(pixels[list(places.values())], every)
            new = {
                key: {name: rows[row] for name, rows in zip(every, made, strict=True)}
                for row, key in enumerate(places)
            }
            self._recent.keep(new)
            known |= new
        return [np.stack([known[key][name] for key in keys]) for name in names]

    def _run_all(self, pixels: PixelArray, names: Sequence[str]) -> list[FloatArray]:
        # Open it here, once, not in several threads; it may change the pace.
        session = self._session_for(len(pixels))
        size = self.pace.batch
        batches = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        parts = self._run_side_by_side(partial(self._run, session=session, names=names), batches)
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run_side_by_side(
        self, run: Callable[[PixelArray], list[FloatArray]], batches: Sequence[PixelArray]
    ) -> list[list[FloatArray]]:
        workers = min(self.pace.runs, len(batches))
        if workers == 1:
            return [run(batch) for batch in batches]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(run, batches))

    def _run(
        self, pixels: PixelArray, *, session: InferenceSession, names: Sequence[str]
    ) -> list[FloatArray]:
        made = run_graph(session, self._path, names, {"pixels": pixels})
        found = dict(zip(names, made, strict=True))
        if "vector" in found:
            width = self._bundle.manifest.dimension
            found["vector"] = checked_vectors(self._path, found["vector"], len(pixels), width)
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
