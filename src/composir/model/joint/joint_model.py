"""A joint encoder as the rest of the house sees a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from PIL import Image

from composir.errors import BundleError, ModelError
from composir.images.preprocess import PreprocessSpec
from composir.lazy import imported
from composir.model.base import Parts
from composir.model.joint.joint_bundle import JointBundle
from composir.model.joint.probe import WORDS, check_same, least_cosine, probe
from composir.model.of_bundle import ModelOfBundle
from composir.model.once import once_property
from composir.model.pace import USUAL_BATCH
from composir.types import FloatArray, PixelArray

BACKENDS: dict[str, str] = {
    "endpoint": "composir.model.joint.endpoint:open_backend",
    "transformers": "composir.model.joint.local:open_backend",
}

PADDING = (1, 254, 3)
"""What no picture is framed with, so that what was padded can be told and cut off again."""
_CALL = 10.0  # seconds
PROBED_WORDS = slice(2, 3)  # which of the probe's vectors is that of its words


class Backend(Protocol):
    """What runs an encoder."""

    def prepare(self) -> None:
        """Open now what would be opened at the first input."""

    def encode(self, items: Sequence[Parts], instruction: str) -> list[FloatArray]:
        """Encode inputs of pictures and words, in order.

        Returns:
            A vector each, (D,) float32, of any length.
        """


class JointModel(ModelOfBundle[JointBundle]):
    """One encoder for pictures, words, and both together; an `EmbeddingModel`."""

    splicing = None
    sentence = "{}"
    mean_image = None
    spread = None
    known_texts: ClassVar[Mapping[str, FloatArray]] = {}

    def __init__(self, bundle: JointBundle, threads: int | None = None) -> None:
        """Open a model; its backend opens at the first input."""
        check_allowed(bundle)
        super().__init__(bundle)
        self._threads = threads
        self._is_known = bundle.manifest.endpoint is None  # files have checksums

    @once_property
    def fingerprint(self) -> str:
        """Identifies the space of the pictures' vectors."""
        return self.bundle.fingerprint

    @property
    def image_spec(self) -> PreprocessSpec:
        """How pictures are brought to one size."""
        return self.bundle.manifest.preprocess

    @property
    def joint(self) -> JointModel:
        """Itself."""
        return self

    @property
    def query_instruction(self) -> str:
        """What goes with a query."""
        return self.bundle.manifest.instructions.query

    def composer_folders(self) -> Mapping[str, Path]:
        """None: trained composers put pseudo-words among words."""
        return {}

    def preparations(self, *, image: bool, words: bool) -> Sequence[Callable[[], None]]:
        """What opens the backend."""
        return (self._backend.prepare,) if image or words else ()

    def find_batch(self) -> int:
        """So many as take about ten seconds, by what one took when the model was added.

        A stopped run loses no more, and people see that it moves.
        """
        seconds = self.bundle.manifest.seconds_a_picture
        return USUAL_BATCH if not seconds else max(1, min(USUAL_BATCH, round(_CALL / seconds)))

    def unread(self, _text: str) -> str:
        """Nothing that is known of: such encoders read thousands of words."""
        return ""

    def encode(self, items: Sequence[Parts], instruction: str) -> FloatArray:
        """Encode inputs of pictures and words, each as one.

        Returns:
            (n, D) float32, unit norm.
        """
        if not items:
            return np.empty((0, self.dimension), dtype=np.float32)
        return self._rows(fitted(items, self.image_spec), instruction)

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Encode preprocessed pictures, (n, size, size, 3) uint8 to (n, D) float32."""
        items = [(Image.fromarray(unpadded(picture)),) for picture in pixels]
        instruction = self.bundle.manifest.instructions.picture
        return self._rows(items, instruction)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Encode RGB pictures as those of a gallery; (n, D) float32, unit norm."""
        return self.encode(
            [(image,) for image in images], self.bundle.manifest.instructions.picture
        )

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts as queries; (n, D) float32, unit norm."""
        return self.encode([(text,) for text in texts], self.query_instruction)

    def _rows(self, items: Sequence[Parts], instruction: str) -> FloatArray:
        if not self._is_known:
            asked = self._asked([(WORDS,)], self.bundle.manifest.instructions.picture)
            check_same(asked, self.bundle.probe[PROBED_WORDS], self.name)
            self._is_known = True
        return self._asked(items, instruction)

    def _asked(self, items: Sequence[Parts], instruction: str) -> FloatArray:
        vectors = self._backend.encode(items, instruction)
        return unit_rows(vectors, len(items), self.dimension, f"the model {self.name}")

    @once_property
    def _backend(self) -> Backend:
        return open_backend(self.bundle, self._threads)


def open_backend(bundle: JointBundle, threads: int | None = None) -> Backend:
    """What runs a bundle's encoder."""
    place = BACKENDS.get(bundle.manifest.backend)
    if place is None:
        known = ", ".join(BACKENDS)
        raise BundleError(
            f"{bundle.folder} is run by {bundle.manifest.backend}, which this composir does not "
            f"know; known: {known}"
        )
    backend: Backend = imported(place)(bundle, threads)
    return backend


def ask_again(model: JointModel) -> dict[str, float]:
    """Ask a model twice for its probe, and compare with what it gave when it was added.

    Returns:
        Least cosines, and seconds, by what they are of.
    """
    asked = model.bundle.manifest.instructions.picture
    begun = time.perf_counter()
    once = model.encode(probe(), asked)
    seconds = time.perf_counter() - begun
    again = model.encode(probe(), asked)
    return {
        "cosine with what it gave when it was added": check_same(
            once, model.bundle.probe, model.name
        ),
        "cosine of the same input twice": least_cosine(once, again),
        "seconds for four inputs": round(seconds, 3),
    }


def fitted(items: Sequence[Parts], spec: PreprocessSpec) -> list[Parts]:
    """Inputs with every picture as those of a gallery are when they are encoded."""
    return [
        tuple(
            part if isinstance(part, str) else Image.fromarray(unpadded(spec.apply(part)))
            for part in parts
        )
        for parts in items
    ]


def unit_rows(vectors: Sequence[FloatArray], count: int, width: int, who: str) -> FloatArray:
    """Vectors of a backend as (n, D) float32 of unit norm."""
    others = sorted({len(vector) for vector in vectors} - {width})
    if others:
        raise ModelError(
            f"{who} gives vectors of {others[0]:,} numbers, and gave {width:,} before: is there "
            "another model behind it by now? What was encoded before is kept, and composir models "
            "check NAME asks it again"
        )
    if len(vectors) != count:
        raise ModelError(f"{who} gives {len(vectors)} vectors for {count} inputs")
    rows = np.stack(vectors).astype(np.float32)
    if not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise ModelError(
            f"{who} gives vectors that are zero, NaN or infinite; what was encoded before is kept"
        )
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)  # squares may be huge
    return np.asarray(rows / norms, dtype=np.float32)


def unpadded(pixels: PixelArray) -> PixelArray:
    """A picture without the frame that `PreprocessSpec` padded it with.

    Args:
        pixels: (size, size, 3) uint8.
    """
    inside = (pixels != np.array(PADDING, dtype=np.uint8)).any(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def check_allowed(bundle: JointBundle) -> None:
    """Refuse a bundle from elsewhere that sends pictures to another machine.

    Whoever added it with `--allow-remote` has allowed that, and only what was added lies there.
    """
    from composir.model.installed import models_folder

    endpoint = bundle.manifest.endpoint
    if endpoint is None or endpoint.address.is_here:
        return
    if bundle.folder.resolve().parent != models_folder().resolve():
        raise ModelError(
            f"the bundle {bundle.folder} sends pictures and words to {endpoint.address.host}; to "
            f"allow that, add it first: composir models add {bundle.folder} --allow-remote"
        )
