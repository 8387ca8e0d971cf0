"""When two gallery images are the same picture: equal bytes, or a re-encoded or resized copy.

Near duplicates must pass four tests at once, because each alone merges different pictures of a
catalogue: nearly equal vectors (the same content), a nearly equal perceptual hash (the same
layout of light and dark), nearly equal colours in every one of 16 cells (another colour of the
same product is another picture), and the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.types import FloatArray

COLOUR_CELLS = 4
COLOUR_BYTES = COLOUR_CELLS * COLOUR_CELLS * 3
_SIDE = 32
_FREQUENCIES = 8


@dataclass(frozen=True, slots=True)
class Signature:
    """What a picture looks like, in 56 bytes."""

    perceptual_hash: int  # 64 bits: signs of its lowest spatial frequencies
    colour_layout: bytes  # 4 x 4 cells of mean RGB, row by row, one byte a channel


@dataclass(frozen=True, slots=True)
class Appearance:
    """All that the duplicate rule compares."""

    content_hash: str | None  # of the file's bytes; None for a picture without a file
    signature: Signature
    vector: FloatArray  # (D,) float32, unit norm
    width: int  # pixels
    height: int  # pixels


@dataclass(frozen=True, slots=True)
class NearDuplicateRule:
    """The four limits; all must hold."""

    # Least cosine of the vectors, a number of the model's space; None to leave them out. What tells
    # pictures apart are mostly the other three (docs/lab.md).
    similarity: float | None = None
    hash_bits: int = 6  # most differing bits of the perceptual hashes
    colour_levels: int = 6  # most difference in any of the 48 cell colours, in levels of 255
    shape: float = 0.02  # most relative difference of the aspect ratios

    def same(self, a: Appearance, b: Appearance) -> bool:
        """Whether two pictures are the same, by content or by all four tests."""
        if a.content_hash is not None and a.content_hash == b.content_hash:
            return True
        return (
            hash_distance(a.signature, b.signature) <= self.hash_bits
            and self._same_shape(a, b)
            and colour_distance(a.signature, b.signature) <= self.colour_levels
            and (self.similarity is None or float(a.vector @ b.vector) >= self.similarity)
        )

    def _same_shape(self, a: Appearance, b: Appearance) -> bool:
        ratio = (a.width * b.height) / max(a.height * b.width, 1)
        one_pixel = 1.0 / max(min(a.width, a.height, b.width, b.height), 1)
        return abs(ratio - 1.0) <= self.shape + one_pixel


def sign_picture(rgb: Image.Image) -> Signature:
    """Compute the signature of an RGB picture of any size."""
    small = np.asarray(
        rgb.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float32
    )
    step = _SIDE // COLOUR_CELLS
    cells = small.reshape(COLOUR_CELLS, step, COLOUR_CELLS, step, 3).mean(axis=(1, 3))
    colours = np.rint(cells).astype(np.uint8).tobytes()
    return Signature(_perceptual_hash(small @ _LUMINANCE), colours)


_LUMINANCE = np.asarray([0.299, 0.587, 0.114], dtype=np.float32)


def _perceptual_hash(grey: FloatArray) -> int:
    basis = _cosine_basis()
    low = (basis @ grey @ basis.T).ravel()
    low[0] = 0.0  # the mean brightness says nothing about the layout
    middle = np.sort(low)[len(low) // 2 - 1 : len(low) // 2 + 1]
    bits = low > middle.mean()  # np.median would import masked arrays: a search starts cold
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _cosine_basis() -> NDArray[np.float32]:
    frequency = np.arange(_FREQUENCIES)[:, None]
    position = np.arange(_SIDE)[None, :] + 0.5
    return np.cos(np.pi / _SIDE * frequency * position).astype(np.float32)


def hash_distance(a: Signature, b: Signature) -> int:
    """Differing bits of two perceptual hashes, 0 to 64."""
    return (a.perceptual_hash ^ b.perceptual_hash).bit_count()


def colour_distance(a: Signature, b: Signature) -> int:
    """Largest difference of two colour layouts in any cell and channel, 0 to 255."""
    first = np.frombuffer(a.colour_layout, dtype=np.uint8).astype(np.int16)
    second = np.frombuffer(b.colour_layout, dtype=np.uint8).astype(np.int16)
    return int(np.abs(first - second).max())
