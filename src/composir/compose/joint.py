"""The composer of joint encoders: reference and words are read together, with an instruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from composir.compose.arithmetic import ArithmeticComposer
from composir.compose.base import ComposedQueries, QueryBatch, Traits
from composir.errors import QueryError
from composir.model.base import JointEncoder
from composir.types import FloatArray

_AT_ONCE = 8  # references in memory


@dataclass(frozen=True, slots=True)
class Joint(ArithmeticComposer):
    """One vector of a reference and its words, as a joint encoder reads them.

    A reference alone is its own vector, and words alone are theirs, so that what is missing changes
    no more than it must.
    """

    name = "joint"

    def __post_init__(self) -> None:
        """Refuse models that cannot."""
        if self.model.joint is None:
            raise QueryError(
                f"the model {self.model.name} encodes pictures and words apart, and the composer "
                "joint together: use another composer, e.g. sum; or let a joint encoder look at "
                "the first hits: --rerank NAME"
            )

    @property
    def traits(self) -> Traits:
        """It reads references itself."""
        return Traits(needs_vectors=False)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Encode references and texts together; with one of the two missing, the other."""
        if not any(batch.texts):
            return self.finished(self._alone(batch), replace(batch, texts=("",) * len(batch)))
        if batch.images is None and batch.image_vectors is None:
            return self.finished(self.model.encode_texts(batch.texts), batch)
        return self.finished(np.concatenate(list(self._together(batch))), batch)

    def _together(self, batch: QueryBatch) -> Iterator[FloatArray]:
        images = batch.images
        if images is None:
            raise QueryError(
                "the composer joint reads references together with the words, and here are their "
                "vectors alone; give pictures, or use another composer, e.g. sum"
            )
        encoder = self._encoder
        for start in range(0, len(batch), _AT_ONCE):
            some = range(start, min(start + _AT_ONCE, len(batch)))
            items = [(images[place](), batch.texts[place]) for place in some]
            yield encoder.encode(items, encoder.query_instruction)

    def _alone(self, batch: QueryBatch) -> FloatArray:
        if batch.image_vectors is not None:
            return batch.image_vectors
        if batch.images is None:
            raise QueryError("an empty query: give an image, words, or both")
        opened: list[Image.Image] = [image() for image in batch.images]
        return self.model.encode_images(opened)

    @property
    def _encoder(self) -> JointEncoder:
        assert self.model.joint is not None  # looked at when it was made
        return self.model.joint
