"""What a family's reader hands to the exporter, and what its own code is compared through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image
from torch import Tensor, nn

from composir.foundation.text_tower import MatchingEncoder, TextTower
from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray


@dataclass(frozen=True)
class Parts:
    """A dual encoder, taken apart.

    Attributes:
        family: Name of the family's reader.
        text: The text tower, in evaluation mode.
        image: The image tower, likewise: (n, s, s, 3) uint8 pixels to vectors and patch tokens.
        words: (vocabulary, Dw) float32, the table of word embeddings.
        tokenizer: Content of a `tokenizer.json`.
        framing: Fields of the bundle's `Framing`.
        preprocess: How pictures become input.
        licence: Of the weights, as their card states it; None where it states none.
        matching: Tells whether a sentence and a picture belong together, where the model can.
    """

    family: str
    text: TextTower
    image: nn.Module
    words: Tensor
    tokenizer: str
    framing: Mapping[str, Any]
    preprocess: PreprocessSpec
    licence: str | None
    matching: MatchingEncoder | None = None


class Reference(Protocol):
    """A family's own code over a checkpoint."""

    @property
    def code(self) -> str:
        """Whose code it is, for people."""

    @property
    def own_pixels(self) -> bool:
        """Whether `pixels` are the family's own, so that they can be compared."""

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts, (n, D) float32, unit norm."""

    def pixels(self, images: Sequence[Image.Image]) -> FloatArray:
        """RGB pictures as the family's processor gives them, (n, 3, s, s) float32, normalised."""

    def pictures(self, pixels: FloatArray) -> FloatArray:
        """Vectors of what `pixels` gives, (n, D) float32, unit norm."""
