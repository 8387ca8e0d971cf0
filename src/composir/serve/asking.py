"""From a request to a question for the gallery, and from its answer to a document."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from composir.compose.base import Composer
from composir.compose.steered import Steered, Steering
from composir.crop import Crop
from composir.documents import result_document
from composir.errors import ImageNotFoundError, QueryError
from composir.gallery.lookup import IndexedImage
from composir.images.containers import is_there
from composir.references import NamedImage, ReferenceImage
from composir.serve.engine import Engine
from composir.serve.http_problems import BodyTooLargeError, CursorError, NotAllowedError
from composir.serve.schemas import ImageInput, QueryRequest, SearchAnswer, SearchRequest
from composir.serve.settings import MOST_HITS
from composir.types import FloatArray, Query, SearchResult

_KEPT_SEARCHES = 256
_KEPT_BYTES = 64 << 20
_REACH = 10_000  # hits that pages of one search go through


@dataclass(frozen=True, slots=True)
class Question:
    """A query and who composes it."""

    query: Query
    composer: Composer
    reference: FloatArray | None = None
    """(D,) float32, a device's own estimate of its picture."""


def question(request: QueryRequest, engine: Engine) -> Question:
    """What a request asks the gallery."""
    steering = _steering(request, engine)
    if request.message is not None:
        asked = _by_message(request, engine)
    else:
        part = request.crop
        query = Query(
            image=_references(request.images, engine) or None,
            text=request.text,
            negatives=tuple(request.negatives),
            crop=None if part is None else Crop(**part.model_dump()),
            literal=request.literal,
        )
        asked = Question(query, engine.composer(request.composer, request.settings))
    if steering.is_idle:
        return asked
    steering = replace(steering, reference=asked.reference)
    return replace(asked, composer=Steered(asked.composer, engine.model, steering))


def _by_message(request: QueryRequest, engine: Engine) -> Question:
    from composir.device.message import unpack
    from composir.device.server import message_composer

    if request.images or request.crop or request.text or request.negatives:
        raise QueryError("a message brings its own picture and words: leave the others out")
    message = unpack(request.message or b"")
    composer = engine.plain_composer(request.composer or message.composer, request.settings)
    query = Query(
        text=message.text,
        negatives=message.negatives,
        from_device=True,
        literal=request.literal,
    )
    return Question(query, message_composer(message, composer), message.vector)


def _references(images: Sequence[ImageInput], engine: Engine) -> list[ReferenceImage]:
    ids = [image.id for image in images if image.id is not None]
    known = engine.gallery.images(ids) if ids else {}
    return [_reference(image, known, engine) for image in images]


def _reference(image: ImageInput, known: dict[str, IndexedImage], engine: Engine) -> ReferenceImage:
    if image.id is not None:
        if image.id not in known:
            raise ImageNotFoundError(f"the gallery has no image with the id {image.id!r}")
        return _of_gallery(known[image.id], engine)
    if image.url is not None:
        return _fetched(image.url, engine)
    content = image.data or b""
    most = engine.settings.limits.image
    if len(content) > most:
        raise BodyTooLargeError(f"a picture may have {most >> 20} MiB: send a smaller one")
    return NamedImage("upload", content)


def _of_gallery(image: IndexedImage, engine: Engine) -> ReferenceImage:
    """The file; its thumbnail where that is gone or out of reach."""
    if is_there(image.path):
        return image.path
    thumbnail = engine.thumbnail(image.id)
    if thumbnail is None:
        raise ImageNotFoundError(f"the gallery has no image with the id {image.id!r}")
    return NamedImage(image.path.name, thumbnail)


def _fetched(url: str, engine: Engine) -> ReferenceImage:
    from composir.data.fetch import FetchLimits, fetch

    limits, allowed = engine.settings.limits, engine.settings.url_hosts
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        host = ""
    if host not in allowed:
        raise NotAllowedError(f"this server fetches nothing from {host[:100]!r}: upload the file")
    return NamedImage(url, fetch(url, FetchLimits(limits.image, limits.seconds, allowed)))


def _steering(request: QueryRequest, engine: Engine) -> Steering:
    more, less = (_vectors(ids, engine) for ids in (request.more, request.less))
    return Steering(request.balance, more, less)


def _vectors(ids: Sequence[str], engine: Engine) -> FloatArray:
    if not ids:
        return Steering().more
    found, vectors = engine.gallery.vectors(ids)
    if missing := set(ids) - set(found):
        raise ImageNotFoundError(f"the gallery has no image with the id {min(missing)!r}")
    return vectors


@dataclass(frozen=True, slots=True)
class _Kept:
    """A search that pages of hits are cut from."""

    question: Question
    request: SearchRequest
    size: int


class Searches:
    """Answers searches a page at a time; the last ones can be gone on with."""

    def __init__(self, engine: Engine) -> None:
        """Search one gallery."""
        self._engine = engine
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = Lock()

    def answer(self, request: SearchRequest) -> SearchAnswer:
        """Answer a request, or the next page of an earlier one."""
        if request.cursor is not None:
            return self._next(request.cursor, request.k)
        asked = question(request, self._engine)
        result, more = self._page(asked, request, 0, request.k)
        cursor = f"{self._keep(asked, request)}.{request.k}" if more else None
        return self._document(result, cursor)

    def reranks(self, request: SearchRequest) -> bool:
        """Whether a joint encoder has a part in the answer."""
        with self._lock:
            kept = self._kept.get((request.cursor or "").partition(".")[0])
        return (request if kept is None else kept.request).rerank is not None

    def _next(self, cursor: str, k: int) -> SearchAnswer:
        name, _, start = cursor.partition(".")
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None:
                self._kept.move_to_end(name)
        if kept is None or not start.isdecimal() or int(start) > _REACH:
            raise CursorError("this cursor is none, or too old by now: ask the query again")
        end = int(start) + k
        result, more = self._page(kept.question, kept.request, int(start), k)
        return self._document(result, f"{name}.{end}" if more and end <= _REACH else None)

    def _page(
        self, asked: Question, request: SearchRequest, start: int, k: int
    ) -> tuple[SearchResult, bool]:
        """One hit more is asked for, which tells whether there are more."""
        result = search(self._engine, asked, request, start + k + 1)
        hits = result.hits[start : start + k]
        return replace(result, hits=hits), len(result.hits) > start + k

    def _document(self, result: SearchResult, cursor: str | None) -> SearchAnswer:
        document = result_document(result)
        return {**document, "cursor": cursor, "version": self._engine.gallery.version}

    def _keep(self, asked: Question, request: SearchRequest) -> str:
        name = secrets.token_urlsafe(12)
        kept = _Kept(asked, request, sum(map(_size, asked.query.images)))
        with self._lock:
            self._kept[name] = kept
            while (
                len(self._kept) > _KEPT_SEARCHES
                or sum(one.size for one in self._kept.values()) > _KEPT_BYTES
            ):
                self._kept.popitem(last=False)
        return name


def search(engine: Engine, asked: Question, request: SearchRequest, k: int) -> SearchResult:
    """Ask the gallery; of what is in a request, how to search."""
    engine.check()
    return engine.gallery.search(
        asked.query,
        k=min(k, MOST_HITS + _REACH + 1),
        where=request.where,
        composer=asked.composer,
        include_reference=request.include_reference,
        collapse_duplicates=request.collapse_duplicates,
        missing=request.missing,
        sort=request.sort,
        min_confidence=request.min_confidence,
        rerank=engine.reranker(request.rerank),
        rerank_top=request.rerank_top,
        rerank_progress=engine.go_on,
    )


def _size(image: ReferenceImage) -> int:
    if isinstance(image, NamedImage) and isinstance(image.content, bytes):
        return len(image.content)
    return len(str(image)) if isinstance(image, Path) else 0
