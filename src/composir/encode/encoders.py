"""Pictures to rows of an encoder: what is known is read, the rest is computed and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.encode.feature_store import FeatureStore, Memory
from composir.encode.image_files import ImageFile, read_pixels
from composir.encode.stored import RowKind, StoredRows
from composir.encode.stream import decoded
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.types import PixelArray

BATCH = 32

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What makes rows of pixels.

    Attributes:
        kinds: Of the rows that it makes.
        spec: How pictures become its input.
        run: (b, s, s, 3) uint8 to an array of b rows for each kind.
        batch: Pictures in one run.
        min_side: The short side that pictures are decoded to, in pixels; None for the
            specification's.
    """

    kinds: tuple[RowKind, ...]
    spec: PreprocessSpec
    run: Callable[[PixelArray], Sequence[NDArray[Any]]]
    batch: int = BATCH
    min_side: int | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows of the pictures that could be read.

    Attributes:
        kept: (n,) int64, places of these pictures among those given, ascending.
        rows: n rows for each kind of the encoder.
        failures: Reasons, by place, of the others.
    """

    kept: NDArray[np.int64]
    rows: tuple[StoredRows, ...]
    failures: Mapping[int, str]


def image_encoder(model: EmbeddingModel) -> Encoder:
    """The gallery side of a model: one kind, vectors (D,) float32."""
    kind = RowKind("vectors", model.fingerprint, (model.dimension,), is_unit=True)
    return Encoder((kind,), model.image_spec, lambda pixels: (model.encode_pixels(pixels),))


def encode_images(
    pictures: Sequence[ImageFile],
    encoder: Encoder,
    store: FeatureStore | None = None,
    *,
    view: int = 0,
    progress: Progress | None = None,
    failed: Callable[[int, str], None] | None = None,
) -> Encoded:
    """Encode pictures, each content once; a stopped run goes on where it was.

    Args:
        pictures: n pictures.
        encoder: What to make of them.
        store: Where rows are kept; None keeps them in memory alone.
        view: 0 for the plain pictures, 1 and up for augmented ones.
        progress: Told after every batch.
        failed: Told of every picture that cannot be read, by place, when it is met; may raise.
    """
    keeper = store or Memory()
    keys = keeper.keys(pictures, view)
    read = partial(read_pixels, spec=encoder.spec, view=view, min_side=encoder.min_side)
    reasons: dict[int, str] = {}

    def fail(place: int, reason: str) -> None:
        reasons[place] = reason
        if failed:
            failed(place, reason)

    with keeper.filling(encoder.kinds[0]):
        _fill(keeper, pictures, keys, encoder, read, progress, fail)
    unread = {keys[place]: reason for place, reason in reasons.items() if keys[place]}
    failures = reasons | {place: unread[key] for place, key in enumerate(keys) if key in unread}
    kept = [place for place in range(len(keys)) if place not in failures]
    rows = tuple(keeper.rows(kind, [keys[place] for place in kept]) for kind in encoder.kinds)
    return Encoded(np.array(kept, dtype=np.int64), rows, dict(sorted(failures.items())))


def _fill(
    keeper: FeatureStore | Memory,
    pictures: Sequence[ImageFile],
    keys: Sequence[str],
    encoder: Encoder,
    read: Callable[[ImageFile], PixelArray | str],
    progress: Progress | None,
    fail: Callable[[int, str], None],
) -> None:
    """Compute the rows that are missing, a batch at a time, and keep each batch."""
    known = [keeper.known(kind, keys) for kind in encoder.kinds]
    first = {key or str(place): place for place, key in reversed(list(enumerate(keys)))}
    todo = sorted(place for key, place in first.items() if not all(key in there for there in known))
    done = len(keys) - len(todo)
    for places, batch in decoded(pictures, todo, read, encoder.batch):
        pixels = {}
        for place, given in zip(places, batch, strict=True):
            if isinstance(given, str):
                fail(place, given)
            elif not keys[place]:
                fail(place, "its file cannot be read as a whole")
            else:
                pixels[keys[place]] = given
        if pixels:
            made = encoder.run(np.stack(list(pixels.values())))
            for kind, there, rows in zip(encoder.kinds, known, made, strict=True):
                fresh = zip(pixels, rows, strict=True)
                keeper.put(kind, {key: row for key, row in fresh if key not in there})
        done += len(places)
        if progress:
            progress(done, len(keys))
