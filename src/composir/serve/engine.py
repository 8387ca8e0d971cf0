"""A gallery that is asked by many at once: bounded threads, shared runs of the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any, TypeVar

from starlette.requests import Request

from composir.compose import composer_names, load_composer
from composir.compose.base import ComposedQueries, Composer
from composir.compose.spliced import SplicedComposer
from composir.errors import BundleMismatchError, ComposerNotFoundError
from composir.gallery import Gallery
from composir.gallery.manifest import read_manifest
from composir.gallery.progress import IndexProgress
from composir.gallery.rerank import check_joint
from composir.model.base import EmbeddingModel
from composir.model.sessions import default_threads
from composir.serve.batching import (
    BatchedComposer,
    BatchedModel,
    Batcher,
    CompositionCall,
    compose_together,
)
from composir.serve.counters import Metrics
from composir.serve.http_problems import (
    AnswerTooSlowError,
    BusyError,
    ClientGoneError,
    ClosingError,
    NotAllowedError,
)
from composir.serve.settings import ServeSettings
from composir.types import Query

Answer = TypeVar("Answer")
_WORKERS_A_CORE = 4
_THUMBNAILS = 64


class Engine:
    """What answers: a gallery, its model, and the threads that use them.

    Attributes:
        gallery: CompositionCall by all threads; follows what other processes index into it.
        model: The gallery's, unwrapped.
        settings: Of the server.
        metrics: Of the server.
        writing: Held by who changes the gallery.
        ready: Set once everything is warm.
        closing: Set when the server is about to end.
    """

    def __init__(
        self,
        path: Path,
        model: EmbeddingModel,
        settings: ServeSettings,
        metrics: Metrics,
        reranker: EmbeddingModel | None = None,
    ) -> None:
        """Open a gallery; nothing is read yet."""
        limits = settings.limits
        if reranker is not None:
            check_joint(reranker)
        self._reranker = reranker
        self.settings, self.metrics, self.model = settings, metrics, model
        self._batched = BatchedModel(model, limits.batch, metrics.ran)
        self.gallery = Gallery(path, self._batched)
        workers = limits.workers or max(8, _WORKERS_A_CORE * default_threads())
        self._pool = ThreadPoolExecutor(workers, "composir-answer")
        self._workers = workers
        # One at a time: it fills the cores alone, and those who wait take no one else's turn.
        self._reranking = ThreadPoolExecutor(1, "composir-rerank")
        self._compose: Batcher[CompositionCall, ComposedQueries] = Batcher(
            compose_together,
            name="compose",
            most=limits.batch,
            kind=lambda asked: asked.kind,
            ran=metrics.ran,
        )
        self._thumbnails: Batcher[str, bytes | None] = Batcher(
            self._read_thumbnails, name="thumbnails", most=_THUMBNAILS, ran=metrics.ran
        )
        self._parts = ThreadPoolExecutor(max(2, workers // 2), "composir-part")
        self.writing = Lock()
        self._waiting = 0
        self._usual_seconds = 0.1
        self.ready, self.closing = Event(), Event()
        metrics.watch("composir_gallery_images", "Images in the gallery.", self._size)

    def warm(self) -> None:
        """Open all that the first query would wait for, by asking one."""
        from PIL import Image

        if len(self.gallery):
            grey = Image.new("RGB", (64, 64), (128, 128, 128))
            self.gallery.search(Query(image=grey, text="warm"), k=1, composer=self.composer(None))
            self.gallery.search(Query(text="warm"), k=1, composer=self.composer(None))
        if self._reranker is not None:
            for opens in self._reranker.preparations(image=True, words=True):
                opens()
        self.ready.set()

    def close(self) -> None:
        """Finish what is being answered, and end the threads."""
        self.closing.set()
        for pool in (self._pool, self._parts, self._reranking):
            pool.shutdown(cancel_futures=True)
        for stage in (self._compose, self._thumbnails, self._batched):
            stage.close()

    async def run(
        self, work: Callable[[], Answer], request: Request, *, reranks: bool = False
    ) -> Answer:
        """Do work in a thread, when there is one; what re-ranks has one for itself, and longer."""
        limits = self.settings.limits
        if self.closing.is_set():
            raise ClosingError("the server is about to end")
        if self._waiting >= limits.waiting:
            seconds = self._usual_seconds * self._waiting / self._workers
            raise BusyError(f"{self._waiting} requests wait already: try again soon", seconds)
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        begun = time.perf_counter()
        pool, most = self._pool, limits.seconds
        if reranks:
            pool, most = self._reranking, limits.rerank_seconds
        try:
            answer = asyncio.get_running_loop().run_in_executor(pool, work)
            return await self._in_time(answer, request, most)
        finally:
            self._waiting -= 1
            self.metrics.waiting.set(self._waiting)
            if not reranks:
                seconds = time.perf_counter() - begun
                self._usual_seconds += 0.1 * (seconds - self._usual_seconds)

    async def _in_time(
        self, answer: asyncio.Future[Answer], request: Request, seconds: float
    ) -> Answer:
        gone = asyncio.ensure_future(_gone(request))
        either: set[asyncio.Future[Any]] = {answer, gone}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise ClientGoneError("the client went away")
            raise AnswerTooSlowError(f"no answer within {seconds:g} s: ask for less, or later")
        finally:
            answer.cancel()
            gone.cancel()

    def side_by_side(self, parts: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Do the parts of one piece of work; called from a thread of `run`."""
        return list(self._parts.map(lambda part: part(), parts))

    def check(self) -> None:
        """See that the gallery is still there, and of the same model."""
        made_by = read_manifest(self.gallery.path).bundle
        if made_by.fingerprint != self.model.fingerprint:
            raise BundleMismatchError(
                f"the gallery {self.gallery.path} is of another model by now ({made_by.name}): "
                "start the server again"
            )

    def plain_composer(
        self, name: str | None, settings: dict[str, float | int | str] | None = None
    ) -> Composer:
        """A composer by a name that the model or the server's settings know, never by a path.

        Args:
            name: None for the model's default.
            settings: What to change of it.
        """
        allowed = self.settings.composers
        names = self.composers
        chosen = name or self.model.default_composer
        if chosen not in names:
            raise ComposerNotFoundError(
                f"no composer named {chosen[:100]!r}; this server has: {', '.join(names)}"
            )
        composer = self.gallery.composer(allowed.get(chosen, chosen))
        if not settings:
            return composer
        if isinstance(composer, SplicedComposer):
            return composer.with_settings(**settings)
        return load_composer(chosen, self._batched, **settings)

    def composer(
        self, name: str | None, settings: dict[str, float | int | str] | None = None
    ) -> BatchedComposer:
        """As `plain_composer`, with calls gathered with those of other threads."""
        return self.batched(self.plain_composer(name, settings))

    def batched(self, composer: Composer) -> BatchedComposer:
        """A composer whose calls are gathered with those of other threads."""
        return BatchedComposer(composer, self._compose)

    def reranker(self, name: str | None) -> EmbeddingModel | None:
        """The joint encoder of a name, where the server was started with it; None for no name."""
        if name is None:
            return None
        if self._reranker is None:
            raise NotAllowedError("this server re-ranks nothing: it was started without --rerank")
        if name != self._reranker.name:
            raise NotAllowedError(
                f"this server re-ranks by {self._reranker.name}, and not by {name[:100]!r}"
            )
        return self._reranker

    @property
    def reranker_name(self) -> str | None:
        """The joint encoder's that may be asked for; None where there is none."""
        return None if self._reranker is None else self._reranker.name

    def go_on(self, _: IndexProgress) -> None:
        """Told how far a long answer is: it ends where the server does, and what it has is kept."""
        if self.closing.is_set():
            raise ClosingError("the server is about to end")

    @property
    def composers(self) -> list[str]:
        """Names of all composers that may be asked for."""
        return list(dict.fromkeys([*composer_names(self.model), *self.settings.composers]))

    def thumbnail(self, image_id: str) -> bytes | None:
        """The thumbnail of an image, JPEG; None where there is no such image."""
        return self._thumbnails(image_id)

    def _read_thumbnails(self, image_ids: Sequence[str]) -> list[bytes | None]:
        found = self.gallery.thumbnails(image_ids)
        return [found.get(image_id) for image_id in image_ids]

    def _size(self) -> float:
        try:
            return len(self.gallery)
        except (OSError, RuntimeError):
            return float("nan")


async def _gone(request: Request) -> None:
    """Wait until the client closes its connection; its request has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
