"""A stand-in model whose vectors are understandable: colours.

An image's vector is its mean colour (centred on grey); a text's is the mean of the colours that it
names. So "red" finds red pictures, and arithmetic on vectors can be checked by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from composir.images.preprocess import PreprocessSpec
from composir.model.base import Parts
from composir.types import FloatArray, PixelArray

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


def _unit(rows: FloatArray) -> FloatArray:
    rows = rows + np.float32(1e-3)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


class ColourModel:
    """An `EmbeddingModel` of colours; D = 4 (three centred channels and a constant)."""

    name = "colours"
    dimension = 4
    image_spec = PreprocessSpec(size=8, fit="squash")
    default_composer = "sum"
    composer_settings: ClassVar[dict[str, dict[str, float | int | str]]] = {}
    confidence_settings: ClassVar[dict[str, dict[str, float]]] = {}
    copy_similarity: float | None = None
    costs: ClassVar[dict[str, float]] = {}
    splicing = None
    joint = None
    mean_image: ClassVar[FloatArray | None] = None
    spread: ClassVar[FloatArray | None] = None
    known_texts: ClassVar[Mapping[str, FloatArray]] = {}
    sentence = "{}"

    def __init__(self, fingerprint: str = "colours-1") -> None:
        self.fingerprint = fingerprint
        self.encoded = 0

    def composer_folders(self) -> Mapping[str, Path]:
        return {}

    def preparations(self, *, image: bool, words: bool) -> Sequence[Callable[[], None]]:
        return ()

    def find_batch(self) -> int:
        return 32

    def unread(self, text: str) -> str:
        return ""

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        self.encoded += len(pixels)
        colour = pixels.reshape(len(pixels), -1, 3).mean(axis=1).astype(np.float32)
        return self._vectors(colour)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        return self.encode_pixels(self.image_spec.apply_each(images))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        colours = [
            np.mean([COLOURS[w] for w in text.split() if w in COLOURS] or [(128, 128, 128)], axis=0)
            for text in texts
        ]
        return self._vectors(np.asarray(colours, dtype=np.float32))

    @staticmethod
    def _vectors(colour: FloatArray) -> FloatArray:
        centred = colour / np.float32(127.5) - np.float32(1)
        constant = np.full((len(centred), 1), 0.2, dtype=np.float32)
        return _unit(np.concatenate([centred, constant], axis=1))


class JointColours(ColourModel):
    """Colours, which reads a picture and words as one; it remembers what it was told."""

    name = "joint-colours"
    default_composer = "joint"
    query_instruction = "find it"

    def __init__(self, fingerprint: str = "joint-colours-1") -> None:
        super().__init__(fingerprint)
        self.given: list[tuple[Parts, str]] = []

    @property
    def joint(self) -> JointColours:  # type: ignore[override]
        return self

    def encode(self, items: Sequence[Parts], instruction: str) -> FloatArray:
        self.given += [(parts, instruction) for parts in items]
        rows = [np.concatenate([self._one(part) for part in parts]).mean(0) for parts in items]
        unit: FloatArray = np.stack([row / np.linalg.norm(row) for row in rows])
        return unit

    def _one(self, part: Image.Image | str) -> FloatArray:
        return self.encode_texts([part]) if isinstance(part, str) else self.encode_images([part])
