"""Encodes a benchmark's pictures, each content once; those that cannot be read are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np

from composir.bench.pictures import open_picture
from composir.bench.task import Picture
from composir.bench.vectors import VectorCache, VectorTable
from composir.errors import DatasetError, ImageReadError
from composir.model.base import EmbeddingModel
from composir.model.sessions import default_threads
from composir.types import FloatArray, PixelArray

_BATCH = 32
_Read: TypeAlias = PixelArray | ImageReadError


def encode_pictures(
    model: EmbeddingModel,
    pictures: Mapping[str, Picture],
    *,
    cache: VectorCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    unreadable: dict[str, str] | None = None,
) -> VectorTable:
    """Encode images with the gallery side of a model.

    Args:
        model: The model.
        pictures: By id.
        cache: Where vectors are kept; None encodes everything anew.
        progress: Called with (done, total) images.
        unreadable: Gets the reason of each picture that cannot be read, by id; None: the first of
            them is an error.

    Returns:
        One vector for each picture that can be read, in the order of `pictures`.

    Raises:
        DatasetError: If a picture cannot be read and `unreadable` is None.
    """
    ids, files = tuple(pictures), list(pictures.values())
    keys = _keys(ids, files, cache)
    known = cache.get(model.fingerprint, dict.fromkeys(keys)) if cache else {}
    failed: dict[str, str] = {}
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    todo = sorted(index for key, index in first.items() if key not in known)
    done = len(ids) - len(todo)
    for batch, read in _batches(model, files, todo):
        for index, one in zip(batch, read, strict=True):
            if isinstance(one, ImageReadError):
                failed[keys[index]] = str(one)
                if unreadable is None:
                    raise _named(ids[index], files[index], one) from one
        fresh = _encoded(model, [keys[index] for index in batch], read)
        known.update(fresh)
        if cache:
            cache.put(model.fingerprint, {key: fresh[key] for key in fresh if _is_content(key)})
        done += len(batch)
        if progress:
            progress(done, len(ids))
    named = list(zip(ids, keys, strict=True))
    if unreadable is not None:
        unreadable.update({name: failed[key] for name, key in named if key in failed})
    return _table(model, {name: known[key] for name, key in named if key in known})


_NO_CONTENT = "id "


def _keys(ids: Sequence[str], files: Sequence[Picture], cache: VectorCache | None) -> list[str]:
    """What identifies each picture's pixels; its own id where nothing is kept of it."""
    contents = cache.contents(files) if cache else [""] * len(ids)
    return [content or _NO_CONTENT + name for name, content in zip(ids, contents, strict=True)]


def _is_content(key: str) -> bool:
    return not key.startswith(_NO_CONTENT)


def _encoded(
    model: EmbeddingModel, keys: Sequence[str], read: Sequence[_Read]
) -> dict[str, FloatArray]:
    good = {
        key: pixels
        for key, pixels in zip(keys, read, strict=True)
        if not isinstance(pixels, ImageReadError)
    }
    if not good:
        return {}
    vectors = model.encode_pixels(np.stack(list(good.values())))
    return dict(zip(good, vectors, strict=True))


def _table(model: EmbeddingModel, vectors: Mapping[str, FloatArray]) -> VectorTable:
    none = np.empty((0, model.dimension), dtype=np.float32)
    matrix = np.stack(list(vectors.values())) if vectors else none
    source = f"images, encoded by {model.name}"
    return VectorTable(tuple(vectors), matrix.astype(np.float32, copy=False), source)


def _named(name: str, picture: Picture, error: ImageReadError) -> DatasetError:
    return DatasetError(f"image {name!r}, {picture.path}: {error}")


def _batches(
    model: EmbeddingModel, files: Sequence[Picture], todo: Sequence[int]
) -> Iterator[tuple[Sequence[int], Sequence[_Read]]]:
    """Batches of preprocessed pictures; threads decode the next one while the model works."""
    batches = [todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH)]
    with ThreadPoolExecutor(default_threads()) as pool:

        def begin(batch: Sequence[int]) -> list[Future[_Read]]:
            return [pool.submit(_pixels, model, files[index]) for index in batch]

        ahead = begin(batches[0]) if batches else []
        try:
            for number, batch in enumerate(batches):
                read = [picture.result() for picture in ahead]
                ahead = begin(batches[number + 1]) if number + 1 < len(batches) else []
                yield batch, read
        finally:
            pool.shutdown(cancel_futures=True)


def _pixels(model: EmbeddingModel, picture: Picture) -> _Read:
    try:
        return model.image_spec.apply(open_picture(picture, min_side=model.image_spec.min_side))
    except ImageReadError as error:
        return error
