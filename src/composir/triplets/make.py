"""The whole way from pictures to triplets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeAlias

import numpy as np

from composir.data.problems import Problem, summarised
from composir.encode.encoders import encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.texts import encode_texts
from composir.errors import DatasetError
from composir.model.base import EmbeddingModel
from composir.triplets.pairs import (
    Grouping,
    alternate,
    attribute_pairs,
    choose_groupings,
    find_columns,
    near_pairs,
    neighbours,
    visibility,
)
from composir.triplets.records import (
    ImageSet,
    Pair,
    PairKind,
    SourceImage,
    SyntheticTriplet,
    TextWriter,
)
from composir.triplets.sieve import FilterSettings, Sieve
from composir.types import Failure, FloatArray

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage in words, how much is done, and of how much."""
KINDS: tuple[PairKind, ...] = ("attribute", "image", "caption")
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 512


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def caption_vectors(
    model: EmbeddingModel,
    images: Sequence[SourceImage],
    cache: FeatureStore | None,
    progress: Progress,
) -> FloatArray:
    """Mean vector of each picture's captions, (n, D) float32, unit norm.

    Pictures without captions get a zero row, which is near to nothing.
    """
    texts = list(dict.fromkeys(text for image in images for text in image.captions))
    told = partial(progress, "encoding captions")
    place = {text: row for row, text in enumerate(texts)}
    vectors = encode_texts(texts, model, cache, progress=told)
    matrix = np.zeros((len(images), model.dimension), dtype=np.float32)
    for row, image in enumerate(images):
        if image.captions:
            matrix[row] = np.mean([vectors[place[text]] for text in image.captions], axis=0)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms > 0, norms, 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class MakeSettings:
    """What triplets to make.

    Attributes:
        count: How many at most.
        seed: Of all random choices; the same seed gives the same triplets, and fewer of them are
            the first of more.
        kinds: Which pairs; none for all that the source allows.
        vary: Columns that may differ within attribute pairs; none for all that pictures show.
        group: Columns that must agree; none for all others that pictures show.
        neighbours: How many nearest pictures may be paired with each.
        filters: What is kept.
    """

    count: int = 1000
    seed: int = 0
    kinds: tuple[PairKind, ...] = ()
    vary: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    neighbours: int = 16
    filters: FilterSettings = field(default_factory=FilterSettings)

    def wants(self, kind: PairKind) -> bool:
        """Whether such pairs are asked for."""
        return kind in (self.kinds or KINDS)


@dataclass(frozen=True, slots=True)
class Made:
    """Triplets and how they came about.

    Attributes:
        images: The pictures that could be read; pairs speak of places in it.
        triplets: In the order in which they were made.
        groupings: Which columns were varied within which others.
        seen: How well the model sees each value column, 0.5 is chance.
        dropped: How many were dropped, by reason.
        failures: Pictures that could not be read.
    """

    images: tuple[SourceImage, ...]
    triplets: tuple[SyntheticTriplet, ...]
    groupings: tuple[Grouping, ...]
    seen: Mapping[str, float]
    dropped: Mapping[str, int]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class TripletMaterial:
    """Everything that is known before the first text is written.

    Attributes:
        images: The n pictures that could be read.
        matrix: (n, D) float32, unit norm.
        failures: The others, with reasons.
        groupings: Which columns are varied within which others.
        seen: How well the model sees each value column.
        captions: (n, D), mean vectors of captions; None where nothing is paired by them.
    """

    images: tuple[SourceImage, ...]
    matrix: FloatArray
    failures: tuple[Failure, ...]
    groupings: tuple[Grouping, ...]
    seen: Mapping[str, float]
    captions: FloatArray | None


def prepare(
    source: ImageSet,
    model: EmbeddingModel,
    settings: MakeSettings,
    *,
    cache: FeatureStore | None = None,
    progress: Progress = _silent,
) -> TripletMaterial:
    """Encode pictures and captions and look at the columns."""
    files = [ImageFile(image.file) for image in source.images]
    told = partial(progress, "encoding images")
    found = encode_images(files, image_encoder(model), cache, progress=told)
    matrix, lost = np.asarray(found.rows[0]), found.failures.items()
    failures = tuple(Failure(source.images[place].file, reason) for place, reason in lost)
    images = tuple(source.images[place] for place in found.kept)
    if len(images) < 2:
        unread = [Problem(failure.path.name, failure.reason) for failure in failures]
        raise DatasetError(
            f"{source.name}: a pair needs two pictures, and {len(images)} can be read"
            + "".join(f"; {line}" for line in summarised(unread))
        )
    groupings, seen = _groupings(images, matrix, model, settings)
    has_captions = any(image.captions for image in images)
    by_captions = has_captions and (settings.wants("image") or settings.wants("caption"))
    if not groupings and not by_captions:
        raise DatasetError(
            f"{source.name}: nothing to write triplets from: no captions, and no column (such as "
            f"colour or class) in which pictures differ that agree in the others; give captions, "
            f"or name columns with --vary and --group"
        )
    captions = None
    if has_captions and settings.wants("caption"):
        captions = caption_vectors(model, images, cache, progress)
    return TripletMaterial(images, matrix, failures, groupings, seen, captions)


def _groupings(
    images: Sequence[SourceImage],
    matrix: FloatArray,
    model: EmbeddingModel,
    settings: MakeSettings,
) -> tuple[tuple[Grouping, ...], dict[str, float]]:
    if not settings.wants("attribute"):
        return (), {}
    columns = find_columns(images)
    seen = {name: visibility(images, name, matrix, model.encode_texts) for name in columns.values}
    return choose_groupings(images, seen, columns, settings.vary, settings.group), seen


def make_triplets(
    source: ImageSet,
    model: EmbeddingModel,
    writer: TextWriter,
    settings: MakeSettings,
    *,
    cache: FeatureStore | None = None,
    progress: Progress = _silent,
    ready: Callable[[TripletMaterial], None] | None = None,
) -> Made:
    """Make at most `settings.count` triplets.

    Args:
        source: The pictures.
        model: Its vectors decide who is near whom, and what fits.
        writer: Writes the texts.
        settings: What to make.
        cache: Where vectors are kept, so that a stopped run goes on.
        progress: Told about the work.
        ready: Called when the texts are about to be written.

    Raises:
        DatasetError: If not one pair passes; says how many were dropped for which reason.
    """
    prepared = prepare(source, model, settings, cache=cache, progress=progress)
    if ready is not None:
        ready(prepared)
    sieve = Sieve(settings.filters, prepared.images, prepared.matrix, model.encode_texts)
    pairs = filter(sieve.is_worth_writing, propose(prepared, settings))
    triplets = _written(pairs, sieve, writer, prepared.images, settings.count, progress)
    if not triplets:
        raise DatasetError(f"{source.name}: no triplet is left; {_reasons(sieve.dropped)}")
    return Made(
        prepared.images,
        tuple(triplets),
        prepared.groupings,
        prepared.seen,
        dict(sieve.dropped.most_common()),
        prepared.failures,
    )


def propose(prepared: TripletMaterial, settings: MakeSettings) -> Iterator[Pair]:
    """All pairs, one of each kind in turn."""
    matrix, images, seed = prepared.matrix, prepared.images, settings.seed
    below = settings.filters.max_similarity
    streams = [attribute_pairs(g, images, matrix, below, seed) for g in prepared.groupings]
    if settings.wants("image") and any(image.captions for image in images):
        near = neighbours(matrix, settings.neighbours, below)
        streams.append(near_pairs("image", near, images, seed))
    if prepared.captions is not None:
        near = neighbours(prepared.captions, settings.neighbours, below)
        streams.append(near_pairs("caption", near, images, seed))
    return alternate(streams)


def _written(
    pairs: Iterator[Pair],
    sieve: Sieve,
    writer: TextWriter,
    images: tuple[SourceImage, ...],
    count: int,
    progress: Progress,
) -> list[SyntheticTriplet]:
    kept: list[SyntheticTriplet] = []
    while len(kept) < count and not writer.is_spent:
        size = max(_SMALLEST_BATCH, min(_LARGEST_BATCH, round(1.3 * (count - len(kept)))))
        batch = list(islice(pairs, size))
        if not batch:
            break
        kept += sieve.passing(batch, writer.write(batch, images), count - len(kept))
        progress("writing triplets", len(kept), count)
    return kept


def _reasons(dropped: Mapping[str, int]) -> str:
    if not dropped:
        return "no two pictures are near each other or share all attributes but one"
    told = ", ".join(f"{count:,} x {reason}" for reason, count in dropped.items())
    return f"dropped: {told}; loosen --margin or --max-similarity, or give better captions"
