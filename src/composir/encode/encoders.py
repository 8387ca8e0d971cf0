"""Pictures and texts to rows of an encoder: what is known is read, the rest computed and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.encode.feature_store import FeatureStore, Memory
from composir.encode.image_files import ImageFile, read_pixels
from composir.encode.stored import RowKind, StoredRows
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.model.sessions import default_threads
from composir.types import FloatArray, PixelArray

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


def decoded(
    pictures: Sequence[ImageFile],
    places: Sequence[int],
    read: Callable[[ImageFile], PixelArray | str],
    batch: int,
) -> Iterator[tuple[Sequence[int], list[PixelArray | str]]]:
    """Batches of decoded pictures; at most two of them are in memory.

    Args:
        pictures: All pictures.
        places: Which of them, in order.
        read: Gives pixels, or the reason why there are none; called from threads.
        batch: Most pictures at once.
    """
    batches = [places[start : start + batch] for start in range(0, len(places), batch)]
    with ThreadPoolExecutor(default_threads()) as pool:

        def begin(number: int) -> list[Future[PixelArray | str]]:
            chosen = batches[number] if number < len(batches) else ()
            return [pool.submit(read, pictures[place]) for place in chosen]

        ahead = begin(0)
        try:
            for number, chosen in enumerate(batches):
                now = [picture.result() for picture in ahead]
                ahead = begin(number + 1)
                yield chosen, now
        finally:
            pool.shutdown(cancel_futures=True)


TEXTS_AT_ONCE = 256
_PROBE = "a red bicycle beside two dogs on a wooden bridge, seen from above"


def encode_texts(
    texts: Sequence[str],
    model: EmbeddingModel,
    store: FeatureStore | None = None,
    *,
    progress: Progress | None = None,
    batch: int = TEXTS_AT_ONCE,
) -> FloatArray:
    """Encode texts, each once; a stopped run goes on where it was.

    Args:
        texts: n texts.
        model: Encodes them.
        store: Where vectors are kept; None keeps nothing.
        progress: Told after every batch.
        batch: Texts between two writes.

    Returns:
        (n, D) float32, unit norm.
    """
    keeper = store or Memory()
    side = _text_side(model) if store else ""
    kind = RowKind("texts", side, (model.dimension,), is_unit=True)
    keys = {text: _key(text) for text in texts}
    with keeper.filling(kind):
        known = keeper.known(kind, keys.values())
        todo = [text for text, key in keys.items() if key not in known]
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            vectors = model.encode_texts(part)
            keeper.put(kind, dict(zip((keys[text] for text in part), vectors, strict=True)))
            if progress:
                progress(len(keys) - len(todo) + start + len(part), len(keys))
    return np.asarray(keeper.rows(kind, [keys[text] for text in texts]))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text_side(model: EmbeddingModel) -> str:
    """Identifies a text side, which fingerprints leave out: by its graph, or by what it answers."""
    if model.splicing is not None:
        return f"texts {model.fingerprint} {model.splicing.text_checksum}"
    answer = np.round(model.encode_texts([_PROBE])[0].astype(np.float64), 3)
    return f"texts {model.fingerprint} {hashlib.sha256(answer.tobytes()).hexdigest()}"
