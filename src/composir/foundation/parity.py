"""Whether a bundle computes what the family's own code does: figures, kept in the manifest.

Compared are the pixels that both make of pictures of awkward sizes, the vectors of the same pixels
and of texts, and which ten pictures each finds in a small gallery, from pictures and from texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from composir.data.fields import ManifestPart
from composir.errors import ModelError
from composir.foundation.parts import Reference
from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from composir.model import Model

MAX_VECTOR, MAX_PIXEL, TOP = 1e-4, 1.0, 10
_GALLERY, _SEED = 24, 16
# Odd sizes, both aspects, and lines of one pixel.
_SIZES = ((300, 497), (497, 300), (301, 299), (224, 224), (97, 640), (640, 97), (1, 301), (301, 1))
TEXTS = (
    "a photo of a cat",
    "Two red circles, and a blue square!",
    "the same dress in green, without sleeves",
    "x",
    "a very long sentence about a dog that runs over a meadow and does not stop " * 8,
)


class Parity(ManifestPart):
    """How far a bundle is from the family's own code.

    Attributes:
        pixels: Largest difference of a preprocessed picture, of 255; None where the family's own
            processor is not at hand.
        image: Largest difference of a picture's vector, of the same pixels.
        text: Largest difference of a text's vector.
        top10_images: Share of the family's ten nearest pictures of pictures that the bundle finds.
        top10_texts: Likewise, of texts.
        against: Whose code the bundle was compared with.
    """

    pixels: float | None
    image: float
    text: float
    top10_images: float
    top10_texts: float
    against: str = "the family's own code"

    def check(self) -> None:
        """Refuse a bundle that computes something else."""
        bounds = (
            ("pixels", self.pixels, MAX_PIXEL),
            ("vectors of pictures (image)", self.image, MAX_VECTOR),
            ("vectors of texts (text)", self.text, MAX_VECTOR),
        )
        bad = [
            f"{what} differ by {value:.1e}, more than {bound:g}"
            for what, value, bound in bounds
            if value is not None and not value <= bound
        ]
        shares = {"top10_images": self.top10_images, "top10_texts": self.top10_texts}
        bad += [f"{name}: {share:.0%} only" for name, share in shares.items() if share < 1.0]
        if bad:
            raise ModelError(f"the bundle does not compute what its family does: {'; '.join(bad)}")

    def lines(self) -> list[str]:
        """The table as lines of text."""
        return [f"  {what}: {figure} (bound: {bound})" for what, figure, bound in self.rows()]

    def rows(self) -> list[tuple[str, str, str]]:
        """The table that people see: what, the figure, its bound."""
        pixels = "not compared" if self.pixels is None else f"{self.pixels:.0f}"
        return [
            ("preprocessing, of 255", pixels, f"{MAX_PIXEL:.0f}"),
            ("vectors of pictures", f"{self.image:.1e}", f"{MAX_VECTOR:.0e}"),
            ("vectors of texts", f"{self.text:.1e}", f"{MAX_VECTOR:.0e}"),
            ("same top 10, from pictures", f"{self.top10_images:.0%}", "100%"),
            ("same top 10, from texts", f"{self.top10_texts:.0%}", "100%"),
        ]


def measure(model: Model, reference: Reference, texts: Sequence[str] = TEXTS) -> Parity:
    """Compare a bundle with the family's own code."""
    pictures = gallery()
    spec = model.image_spec
    theirs = [reference.pixels([picture])[0] for picture in pictures]
    shown = np.stack([to_bytes(array, spec) for array in theirs])
    ours = spec.apply_each(pictures)
    gap = float(np.abs(ours.astype(np.int16) - shown.astype(np.int16)).max())
    wanted = np.concatenate([reference.pictures(array[None]) for array in theirs])
    found = model.encode_pixels(shown)
    wanted_texts, found_texts = reference.texts(texts), model.encode_texts(texts)
    return Parity(
        pixels=gap if reference.own_pixels else None,
        image=float(np.abs(found - wanted).max()),
        text=float(np.abs(found_texts - wanted_texts).max()),
        top10_images=agreement(wanted, wanted, found, found),
        top10_texts=agreement(wanted_texts, wanted, found_texts, found),
        against=reference.code,
    )


def agreement(
    queries: FloatArray, pictures: FloatArray, our_queries: FloatArray, our_pictures: FloatArray
) -> float:
    """Share of ten nearest pictures that ours has in common with theirs.

    Args:
        queries: (q, D) float32, unit norm, by the family's code.
        pictures: (n, D), likewise.
        our_queries: (q, D), by the bundle.
        our_pictures: (n, D), likewise.
    """
    scores = queries @ pictures.T
    top = min(TOP, scores.shape[1])
    tenth = np.sort(scores, axis=1)[:, -top, None]
    chosen = np.argsort(-(our_queries @ our_pictures.T), axis=1, kind="stable")[:, :top]
    hits = np.take_along_axis(scores, chosen, axis=1) >= tenth - 2e-6
    return float(hits.mean())


def to_bytes(normalised: FloatArray, spec: PreprocessSpec) -> PixelArray:
    """(3, s, s) as a processor gives it back to (s, s, 3) uint8."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    pixels = np.rint((normalised * std + mean) * 255.0).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def gallery(count: int = _GALLERY) -> list[Image.Image]:
    """Seeded drawings of awkward sizes: coloured shapes on gradients, with noise."""
    generator = np.random.default_rng(_SEED)
    return [_drawing(generator, *_SIZES[index % len(_SIZES)]) for index in range(count)]


def _drawing(generator: np.random.Generator, width: int, height: int) -> Image.Image:
    corners = generator.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for _ in range(generator.integers(1, 6)):
        colour = tuple(int(value) for value in generator.integers(0, 256, 3))
        (x, y), side = generator.random(2) * (width, height), generator.uniform(0.1, 0.6)
        box = (x, y, x + side * width, y + side * height)
        (draw.ellipse if generator.random() < 0.5 else draw.rectangle)(box, fill=colour)
    noise = generator.normal(0.0, generator.uniform(0, 30), (height, width, 3))
    noisy = (np.asarray(picture, np.float32) + noise).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noisy)
