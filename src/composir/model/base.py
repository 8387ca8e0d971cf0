"""What the rest of the house may ask of a model: a protocol, so that tests can fake one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from PIL import Image

from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray, PixelArray

Parts: TypeAlias = "Sequence[Image.Image | str]"
"""RGB pictures and texts that are read as one, in order."""


class EmbeddingModel(Protocol):
    """An image encoder and a text encoder of one vector space.

    All vectors are float32 of unit norm; similarities are dot products.
    """

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def fingerprint(self) -> str:
        """Identifies the vector space: galleries of other fingerprints are refused."""

    @property
    def dimension(self) -> int:
        """Width D of the vectors."""

    @property
    def image_spec(self) -> PreprocessSpec:
        """How pictures become the gallery side's input."""

    @property
    def default_composer(self) -> str:
        """Name of the composer to use when none is asked for."""

    @property
    def composer_settings(self) -> Mapping[str, Mapping[str, float | int | str]]:
        """Settings of composers chosen for this model on dev splits, by composer name."""

    @property
    def confidence_settings(self) -> Mapping[str, Mapping[str, float]]:
        """Calibrated fields of `ConfidenceCalibration` by kind of query."""

    @property
    def copy_similarity(self) -> float | None:
        """Least cosine between a picture and a copy of it; None where nobody measured it."""

    @property
    def mean_image(self) -> FloatArray | None:
        """Mean vector of many unrelated pictures, (D,) float32, not of unit norm; None if unknown.

        Confidence is judged against it.
        """

    @property
    def spread(self) -> FloatArray | None:
        """Factor F of the covariance of pictures' vectors, (r, D) float32; None if unknown.

        Composers divide vectors by how far their similarities spread (`compose.spread`).
        """

    @property
    def known_texts(self) -> Mapping[str, FloatArray]:
        """Vectors of texts that come with the model, (D,) float32 of unit norm each."""

    @property
    def sentence(self) -> str:
        """A sentence about a picture, with `{}` for what it shows; `{}` alone if none is known."""

    @property
    def costs(self) -> Mapping[str, float]:
        """What encoding a picture costs, by name, e.g. `query_flops`; empty where unknown."""

    @property
    def splicing(self) -> SplicingModel | None:
        """The same model with its words open to pseudo-words; None where it cannot do that."""

    @property
    def joint(self) -> JointEncoder | None:
        """The same model, which encodes pictures and words together; None where it cannot."""

    def composer_folders(self) -> Mapping[str, Path]:
        """Folders of the trained composers that come with the model, by name."""

    def preparations(self, *, image: bool, words: bool) -> Sequence[Callable[[], None]]:
        """What opens the encoders of a query, in parts that can run side by side."""

    def unread(self, text: str) -> str:
        """The words by which a text is cut, because it is too long; empty if it is not."""

    def find_batch(self) -> int:
        """How many pictures to encode at once in a long run; may try for about two seconds."""

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Encode preprocessed pictures.

        Args:
            pixels: (n, size, size, 3) uint8, from `image_spec.apply`.

        Returns:
            (n, D) float32, unit norm.
        """

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Preprocess and encode RGB pictures; (n, D) float32, unit norm."""

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts; too long ones are cut at the tokeniser's limit; (n, D) float32."""


class JointEncoder(Protocol):
    """One that encodes pictures and words together."""

    @property
    def query_instruction(self) -> str:
        """What goes with a query."""

    def encode(self, items: Sequence[Parts], instruction: str) -> FloatArray:
        """Encode n inputs, each of pictures, words or both, to (n, D) float32 of unit norm."""


@dataclass(frozen=True, slots=True)
class SentenceBatch:
    """Sentences of one kind.

    Attributes:
        templates: n texts, with one `{}` each where there are pseudo-words.
        pseudo_words: n arrays (L, Dw) float32; None for texts without.
        adapted: Whether adapters read them, where the graph has any.
    """

    templates: Sequence[str]
    pseudo_words: Sequence[FloatArray] | None
    adapted: bool


class SplicingEncoder(Protocol):
    """A text encoder that takes pseudo-words among real ones."""

    @property
    def word_dimension(self) -> int:
        """Dw, width of word embeddings and pseudo-words."""

    def encode_spliced(
        self, templates: Sequence[str], pseudo_words: Sequence[FloatArray]
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Encode n sentences in which `{}` stands for pseudo-words (L, Dw) float32.

        Returns:
            Vectors (n, D) float32, unit norm, and n arrays of token states (length, width).
        """

    def encode_batches(self, batches: Sequence[SentenceBatch]) -> list[FloatArray]:
        """Encode sentences of several kinds together; (n, D) float32, unit norm, for each."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts without pseudo-words; (n, D) float32, unit norm."""

    def unread(self, sentence: str, pseudo_words: int = 0) -> str:
        """The words by which a sentence is cut, because it is too long; empty if it is not.

        Args:
            sentence: A text, or a template with `{}` for pseudo-words.
            pseudo_words: How many these are; 0 for a text.
        """

    @property
    def max_tokens(self) -> int:
        """Longer sentences are cut here."""

    def prepare(self) -> None:
        """Open now what would be opened at the first text; threads may ask at the same time."""

    def nearest_words(self, pseudo_words: FloatArray, count: int = 5) -> list[list[str]]:
        """Words whose embeddings are closest in cosine to each of (n, Dw) pseudo-words."""


class AdaptedEncoder(SplicingEncoder, Protocol):
    """One over a graph with adapters."""

    def without_adapters(self) -> SplicingEncoder:
        """The same graph with its adapters off, if it can switch them."""


class SplicingModel(EmbeddingModel, Protocol):
    """What a trained composer needs besides: access to words and to what the encoder saw where."""

    @property
    def texts(self) -> SplicingEncoder:
        """The text encoder, with splicing."""

    @property
    def text_checksum(self) -> str:
        """SHA-256 of the text graph, which trained composers are bound to."""

    @property
    def threads(self) -> int | None:
        """Threads of the runtime; None for all cores."""

    def encode_patches(self, pixels: PixelArray) -> tuple[FloatArray, FloatArray]:
        """Encode (n, size, size, 3) uint8 to vectors (n, D) and patches (n, N, Dp), float32."""

    def with_text_graph(self, path: Path) -> AdaptedEncoder:
        """A text encoder over another graph, which shares tokeniser and words with `texts`."""
