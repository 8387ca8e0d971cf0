"""One object for both sides of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import Bundle, Manifest
from composir.model.device import Device
from composir.model.image_encoder import ImageEncoder
from composir.model.of_bundle import ModelOfBundle
from composir.model.once import once_property
from composir.model.text_encoder import TextEncoder
from composir.types import FloatArray, PixelArray


class Model(ModelOfBundle[Bundle]):
    """Image and text encoder of one bundle; a `SplicingModel`.

    Attributes:
        images: The gallery side's encoder.
        texts: The text encoder, with splicing.
        threads: Of the runtime; None for all cores.
    """

    def __init__(
        self, bundle: Bundle, threads: int | None = None, device: Device | None = None
    ) -> None:
        """Open a model; graphs are read at first use."""
        super().__init__(bundle)
        self.threads = threads
        self.images = ImageEncoder(bundle, threads, device)
        self.texts = TextEncoder(bundle, threads, device=device)

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def fingerprint(self) -> str:
        """Identifies the vector space of the gallery side."""
        return self.bundle.fingerprint

    @property
    def text_checksum(self) -> str:
        """SHA-256 of the text graph, which trained composers are bound to."""
        return self.bundle.text_checksum

    @property
    def image_spec(self) -> PreprocessSpec:
        """How pictures become the gallery side's input."""
        return self.manifest.image.preprocess

    @property
    def splicing(self) -> Model:
        """Itself: its words are open to pseudo-words."""
        return self

    @property
    def joint(self) -> None:
        """It encodes pictures and words apart."""
        return None

    def unread(self, text: str) -> str:
        """The words by which a text is cut, because it is too long; empty if it is not."""
        return self.texts.unread(text)

    @once_property
    def mean_image(self) -> FloatArray | None:
        """Mean vector of many unrelated pictures, (D,) float32, not of unit norm; None if unknown.

        Raises:
            BundleError: If its file is damaged.
        """
        return self.bundle.mean_image()

    @once_property
    def spread(self) -> FloatArray | None:
        """Factor F of the covariance of pictures' vectors, (r, D) float32; None if unknown.

        Raises:
            BundleError: If its file is damaged.
        """
        return self.bundle.spread()

    @once_property
    def known_texts(self) -> Mapping[str, FloatArray]:
        """Vectors of texts that come with the model, (D,) float32 of unit norm each.

        Raises:
            BundleError: If their files are damaged.
        """
        return self.bundle.known_texts()

    @property
    def sentence(self) -> str:
        """A sentence about a picture, with `{}` for what it shows; `{}` alone if none is known."""
        return self.manifest.templates.get("pseudo_word", "{}")

    def preparations(self, *, image: bool, words: bool) -> tuple[Callable[[], None], ...]:
        """What opens the encoders of a query, in parts that can run side by side."""
        return (self.images.prepare,) * image + (self.texts.prepare,) * words

    def find_batch(self) -> int:
        """How many pictures to encode at once, as measured here and now or before."""
        return self.images.find_pace().pictures

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Encode preprocessed pictures, (n, size, size, 3) uint8 to (n, D) float32."""
        return self.images.encode_pixels(pixels)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Preprocess and encode RGB pictures; (n, D) float32, unit norm."""
        return self.images.encode(images)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts; (n, D) float32, unit norm."""
        return self.texts.encode(texts)

    def encode_patches(self, pixels: PixelArray) -> tuple[FloatArray, FloatArray]:
        """Encode (n, size, size, 3) uint8 to vectors (n, D) and patches (n, N, Dp), float32.

        Raises:
            ModelError: If the bundle gives no patch tokens.
        """
        return self.images.encode_patches(pixels)

    def with_text_graph(self, path: Path) -> TextEncoder:
        """A text encoder over another graph, which shares tokeniser and words with `texts`."""
        return self.texts.with_graph(path)

    def composer_folders(self) -> Mapping[str, Path]:
        """Folders of the trained composers that come with the model, by name."""
        return self.bundle.composer_folders()
