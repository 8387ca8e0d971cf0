"""Dynamic batching: what waits is run together, and nothing waits for a batch to fill.

While the model runs, more queries arrive; whatever has gathered when it is done is the next batch.
So one query alone is as fast as without batching, and many share runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Wrapper
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel, JointEncoder, SplicingModel
from composir.types import FloatArray, PixelArray

Item = TypeVar("Item")
Made = TypeVar("Made")


class Batcher(Generic[Item, Made]):
    """A thread that runs items together; called from any number of others."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Made]],
        *,
        name: str,
        most: int,
        kind: Callable[[Item], Hashable] = lambda _: None,
        ran: Callable[[str, int], None] = lambda _stage, _size: None,
    ) -> None:
        """Start the thread."""
        self._run, self._most, self._kind = run, most, kind
        self._name, self._ran = name, ran
        self._waiting: deque[tuple[Item, Future[Made]]] = deque()
        self._changed = Condition()
        self._is_closed = False
        self._thread = Thread(target=self._work, name=f"composir-{name}", daemon=True)
        self._thread.start()

    def __call__(self, item: Item) -> Made:
        """Have an item run, with whatever else waits; returns what it became."""
        made: Future[Made] = Future()
        with self._changed:
            if self._is_closed:
                raise RuntimeError(f"{self._name} is closed")
            self._waiting.append((item, made))
            self._changed.notify()
        return made.result()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Run what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            self._ran(self._name, len(batch))
            if not self._together(batch):
                for item, made in batch:  # so that one that fails spoils no other
                    self._alone(item, made)

    def _next(self) -> list[tuple[Item, Future[Made]]]:
        """The oldest item and others of its kind; nothing when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return []
            kind = self._kind(self._waiting[0][0])
            alike = [one for one in self._waiting if self._kind(one[0]) == kind][: self._most]
            taken = {id(made) for _, made in alike}
            self._waiting = deque(one for one in self._waiting if id(one[1]) not in taken)
            return alike

    def _together(self, batch: Sequence[tuple[Item, Future[Made]]]) -> bool:
        if len(batch) == 1:
            return False
        try:
            results = self._run([item for item, _ in batch])
        except Exception:
            return False
        for (_, made), result in zip(batch, results, strict=True):
            made.set_result(result)
        return True

    def _alone(self, item: Item, made: Future[Made]) -> None:
        try:
            made.set_result(self._run([item])[0])
        except BaseException as error:
            made.set_exception(error)


@dataclass(frozen=True, slots=True)
class CompositionCall:
    """One call of a composer."""

    composer: Composer
    batch: QueryBatch

    @property
    def kind(self) -> Hashable:
        """What can be composed together: of one composer, with the same parts."""
        batch = self.batch
        parts = [part is not None for part in (batch.image_vectors, batch.images, batch.pixels)]
        texts = {bool(text) for text in batch.texts}
        return id(self.composer), *parts, tuple(texts) if len(texts) == 1 else id(self)


def compose_together(asked: Sequence[CompositionCall]) -> list[ComposedQueries]:
    """Compose several batches of one kind as one."""
    if len(asked) == 1:
        return [asked[0].composer.compose(asked[0].batch)]
    composed = asked[0].composer.compose(_joined([one.batch for one in asked]))
    ends = np.cumsum([len(one.batch) for one in asked])
    starts = ends - [len(one.batch) for one in asked]
    return [composed.part(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _joined(batches: Sequence[QueryBatch]) -> QueryBatch:
    vectors = [batch.image_vectors for batch in batches if batch.image_vectors is not None]
    images = [image for batch in batches for image in batch.images or ()]
    pixels = [batch.pixels for batch in batches if batch.pixels is not None]
    return QueryBatch(
        texts=tuple(text for batch in batches for text in batch.texts),
        image_vectors=np.concatenate(vectors) if vectors else None,
        images=images or None,
        negatives=tuple(
            negative
            for batch in batches
            for negative in (batch.negatives or ((),) * len(batch.texts))
        ),
        pixels=np.concatenate(pixels) if pixels else None,
    )


@dataclass(frozen=True, slots=True)
class BatchedComposer(Wrapper[Composer]):
    """A composer whose calls are made together with those of other threads."""

    batcher: Batcher[CompositionCall, ComposedQueries]

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose, as the composer does."""
        return self.batcher(CompositionCall(self.composer, batch))


class BatchedModel:
    """A model whose pictures are encoded together with those of other threads; an `EmbeddingModel`.

    Texts are encoded by composers, whose calls are gathered already.
    """

    def __init__(self, model: EmbeddingModel, most: int, ran: Callable[[str, int], None]) -> None:
        """Wrap a model."""
        self.inner = model
        self._encode: Batcher[PixelArray, FloatArray] = Batcher(
            self._run, name="images", most=most, ran=ran
        )

    def close(self) -> None:
        """End the thread."""
        self._encode.close()

    def _run(self, pixels: Sequence[PixelArray]) -> list[FloatArray]:
        vectors = self.inner.encode_pixels(np.concatenate(pixels))
        return np.split(vectors, np.cumsum([len(one) for one in pixels])[:-1])

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Encode preprocessed pictures, (n, size, size, 3) uint8 to (n, D) float32."""
        return self._encode(pixels)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Preprocess here and encode together; (n, D) float32, unit norm."""
        return self._encode(self.image_spec.apply_each(images))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts; (n, D) float32, unit norm."""
        return self.inner.encode_texts(texts)

    def find_batch(self) -> int:
        """As the model found."""
        return self.inner.find_batch()

    @property
    def name(self) -> str:
        """The model's."""
        return self.inner.name

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self.inner.fingerprint

    @property
    def dimension(self) -> int:
        """The model's."""
        return self.inner.dimension

    @property
    def image_spec(self) -> PreprocessSpec:
        """The model's."""
        return self.inner.image_spec

    @property
    def default_composer(self) -> str:
        """The model's."""
        return self.inner.default_composer

    @property
    def composer_settings(self) -> Mapping[str, Mapping[str, float | int | str]]:
        """The model's."""
        return self.inner.composer_settings

    @property
    def confidence_settings(self) -> Mapping[str, Mapping[str, float]]:
        """The model's."""
        return self.inner.confidence_settings

    @property
    def mean_image(self) -> FloatArray | None:
        """The model's."""
        return self.inner.mean_image

    @property
    def spread(self) -> FloatArray | None:
        """The model's."""
        return self.inner.spread

    @property
    def known_texts(self) -> Mapping[str, FloatArray]:
        """The model's."""
        return self.inner.known_texts

    @property
    def copy_similarity(self) -> float | None:
        """The model's."""
        return self.inner.copy_similarity

    @property
    def sentence(self) -> str:
        """The model's."""
        return self.inner.sentence

    @property
    def costs(self) -> Mapping[str, float]:
        """The model's."""
        return self.inner.costs

    @property
    def joint(self) -> JointEncoder | None:
        """The model's, where it is one."""
        return self.inner.joint

    @property
    def splicing(self) -> SplicingModel | None:
        """The model's; composers work on it directly."""
        return self.inner.splicing

    def composer_folders(self) -> Mapping[str, Path]:
        """The model's."""
        return self.inner.composer_folders()

    def preparations(self, *, image: bool, words: bool) -> Sequence[Callable[[], None]]:
        """The model's."""
        return self.inner.preparations(image=image, words=words)

    def unread(self, text: str) -> str:
        """The model's."""
        return self.inner.unread(text)
