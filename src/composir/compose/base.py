"""What a composer is: reference vectors and texts in, query vectors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

import numpy as np
from PIL import Image

from composir.compose.sphere import normalised
from composir.compose.unwanted import Penalties, Unwanted
from composir.errors import QueryError
from composir.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from composir.compose.trained import ComposerFolder, QueryCosts


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """Some queries, encoded as far as every composer needs it; all of one shape.

    Either all queries of a batch have a reference or none has; likewise for text. (Callers with
    mixed queries split them: `compose.batches.split` does.)

    Attributes:
        texts: n modification texts; all empty strings for image-only queries.
        image_vectors: (n, D) float32 of the references, unit norm; None for text-only queries.
        images: n functions that open the reference's pixels, for composers with an image encoder
            of their own; None where only vectors are at hand.
        negatives: n tuples of negative texts.
        pixels: (n, size, size, 3) uint8, the references as the model's image encoder takes them;
            None where nobody has made them yet.
    """

    texts: tuple[str, ...]
    image_vectors: FloatArray | None = None
    images: Sequence[Callable[[], Image.Image]] | None = None
    negatives: tuple[tuple[str, ...], ...] = field(default=())
    pixels: PixelArray | None = None

    def __post_init__(self) -> None:
        """Check that the parts agree.

        Raises:
            QueryError: If the parts have different lengths or the batch is empty.
        """
        count = len(self.texts)
        if count == 0:
            raise QueryError("an empty batch of queries")
        lengths = {
            "image_vectors": self.image_vectors,
            "images": self.images,
            "pixels": self.pixels,
            "negatives": self.negatives or None,
        }
        for name, part in lengths.items():
            if part is not None and len(part) != count:
                raise QueryError(f"{count} texts but {len(part)} {name} in one batch of queries")

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class ComposedQueries:
    """What a composer makes of a batch: how to score any gallery.

    Attributes:
        vectors: (n, m, D) float32, unit norm; m = 1 for every composer that ends in one vector.
        rule: How the m similarities become a score: `dot` (m = 1: the similarity itself) or
            `product` (of the similarities, each rectified at zero).
        unwanted: What each query rules out; empty where none rules out anything.
    """

    vectors: FloatArray
    rule: Literal["dot", "product"] = "dot"
    unwanted: tuple[Unwanted, ...] = ()

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.vectors)

    def averaged(self) -> ComposedQueries:
        """One query in the middle of all, e.g. of one text with each of several references.

        The vectors are averaged over the n queries and brought back to unit norm: for references
        alone that is the normalised mean of their vectors.

        Returns:
            A single query, scored by the same rule; itself where there is only one. It rules out
            what the first does: all have the same words.
        """
        if len(self) == 1:
            return self
        mean = normalised(self.vectors.mean(axis=0, keepdims=True))
        return replace(self, vectors=mean, unwanted=self.unwanted[:1])

    @property
    def rules_out(self) -> bool:
        """Whether any query rules out anything."""
        return any(len(one.directions) and one.weight for one in self.unwanted)

    def part(self, begin: int, end: int) -> ComposedQueries:
        """The queries from `begin` to before `end`."""
        return ComposedQueries(self.vectors[begin:end], self.rule, self.unwanted[begin:end])

    def similarities(self, gallery: FloatArray) -> FloatArray:
        """Score a gallery by what is wanted alone; (n, g) float32."""
        if self.rule == "dot":
            return np.asarray(self.vectors[:, 0] @ gallery.T, dtype=np.float32)
        similarities = np.einsum("nmd,gd->nmg", self.vectors, gallery, optimize=True)
        return np.asarray(np.maximum(similarities, 0.0).prod(axis=1), dtype=np.float32)

    def scores(self, gallery: FloatArray) -> FloatArray:
        """Score a whole gallery, less what its pictures show of what is unwanted.

        Args:
            gallery: (g, D) float32, unit norm.

        Returns:
            (n, g) float32; higher is better.
        """
        scores = self.similarities(gallery)
        for row, penalties in enumerate(self.penalties(gallery)):
            if penalties is not None:
                scores[row] -= penalties(gallery)
        return scores

    def penalties(self, sample: FloatArray) -> list[Penalties | None]:
        """What pictures lose for what is unwanted, one rule a query.

        Args:
            sample: (s, D) float32, the gallery or a fair sample of it: it says how much of
                something is much.
        """
        if not self.rules_out:
            return [None] * len(self)
        similarities = self.similarities(sample)
        return [
            one.penalties(query, row, sample)
            for one, query, row in zip(self.unwanted, self.vectors, similarities, strict=True)
        ]


class Preparations(Protocol):
    """What opens the graphs that a query needs for sure, in parts that can run side by side."""

    def __call__(self, *, image: bool, words: bool) -> Sequence[Callable[[], None]]:
        """The parts for a query with an image, with words, or with both."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a composer says of itself; most of those without training have nothing to say.

    Attributes:
        needs_vectors: Whether the gallery's encoder has to see the reference.
        star: Whether it takes a `*` in a text as the reference's place.
        costs: Of what a reference passes through; None for the model's own.
        travel_bytes: What a light query side sends; None where the query's vector travels.
        folder: Of a trained composer.
        preparations: Of a composer with encoders of its own; None where the model's serve.
        unread: The words by which its sentence for a text with a reference is cut, because it is
            too long; None where it reads the text alone.
    """

    needs_vectors: bool = True
    star: bool = False
    costs: QueryCosts | None = None
    travel_bytes: int | None = None
    folder: ComposerFolder | None = None
    preparations: Preparations | None = None
    unread: Callable[[str], str] | None = None


class Composer(Protocol):
    """Maps reference images and modification texts to queries against the gallery."""

    @property
    def name(self) -> str:
        """Name in the table of composers, e.g. `slerp`."""

    @property
    def settings(self) -> dict[str, float | int | str]:
        """Everything that changes the outcome, for result files."""

    @property
    def traits(self) -> Traits:
        """What else benchmarks and galleries have to know of it."""

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose a batch of queries.

        Returns:
            As many composed queries, in order.

        Raises:
            QueryError: If the composer needs a part that the batch lacks.
        """


_Inner = TypeVar("_Inner", bound=Composer)


@dataclass(frozen=True, slots=True)
class Wrapper(Generic[_Inner]):
    """What composers around another one share: they say of themselves what that one says.

    Attributes:
        composer: The other one.
    """

    composer: _Inner

    @property
    def name(self) -> str:
        """The other's."""
        return self.composer.name

    @property
    def settings(self) -> dict[str, float | int | str]:
        """The other's."""
        return self.composer.settings

    @property
    def traits(self) -> Traits:
        """The other's."""
        return self.composer.traits
