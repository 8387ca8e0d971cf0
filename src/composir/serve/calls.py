"""What clients ask and what they make of the answers; how it travels is up to them.

`Client`, `AsyncClient` and the command line share this; only the standard library is imported.
"""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, Unpack

from composir.documents import read_result
from composir.errors import ComposirError, QueryError, UnreadableReferenceError
from composir.references import NamedImage, ReferenceImage
from composir.types import Query, SearchOptions, SearchResult

Made = TypeVar("Made")
IN_GALLERY = "gallery:"
_MOST_BYTES = 256 << 20


class RemoteError(ComposirError):
    """A server cannot be reached, or answers with something that this version does not know."""

    code = "remote"


class SearchArguments(SearchOptions, total=False):
    """How to search; as the arguments of `Gallery.search`, with `rerank` by name."""

    composer: str | None
    rerank: str | None
    rerank_top: int
    settings: Mapping[str, float | int | str]
    balance: float | None
    more: Sequence[str]
    less: Sequence[str]


@dataclass(frozen=True, slots=True)
class ApiCall(Generic[Made]):
    """One request and what becomes of its answer.

    Attributes:
        method: Of HTTP.
        path: With the query, if any.
        read: Makes something of the answer's bytes.
        body: As JSON; None for nothing.
        files: Of a form instead: names and bytes.
    """

    method: str
    path: str
    read: Callable[[bytes], Made]
    body: Any = None
    files: Sequence[tuple[str, bytes]] = field(default=())


def in_gallery(image_id: str) -> NamedImage:
    """An image of the gallery as a reference: only its id travels."""
    return NamedImage(f"{IN_GALLERY}{image_id}", b"")


def search(query: Query, **options: Unpack[SearchArguments]) -> ApiCall[SearchResult]:
    """Ask for hits."""

    def read(content: bytes) -> SearchResult:
        return read_result(_object(content), query)  # type: ignore[arg-type]

    return ApiCall("POST", "/v1/search", read, request(query, **options))


def request(query: Query, **options: Unpack[SearchArguments]) -> dict[str, Any]:
    """A query and how to search, as the server takes it."""
    if query.from_device:
        raise QueryError("a device's message is sent as it is, to /v1/search")
    return {
        "images": [_image(image) for image in query.images],
        "text": query.text,
        "negatives": list(query.negatives),
        "crop": None if query.crop is None else asdict(query.crop),
        "literal": query.literal,
        **options,
    }


def _image(image: ReferenceImage) -> dict[str, str]:
    if isinstance(image, NamedImage) and image.name.startswith(IN_GALLERY) and not image.content:
        return {"id": image.name.removeprefix(IN_GALLERY)}
    return {"data": b64encode(image_bytes(image)).decode()}


def image_bytes(image: ReferenceImage) -> bytes:
    """The bytes of a reference as a picture file; pixels without a file become a PNG."""
    if isinstance(image, NamedImage):
        image = image.content
    if isinstance(image, bytes):
        return image
    if hasattr(image, "save"):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    from composir.images.containers import read_picture

    try:
        return read_picture(image, limit=_MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableReferenceError(f"the reference {image}: {reason}") from error


def parsed(content: bytes) -> dict[str, Any]:
    """A document as it is."""
    return _object(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RemoteError("the server's answer is no JSON: is it composir's?") from error
    if not isinstance(document, dict):
        raise RemoteError("the server's answer is no object: is it composir's?")
    return document


def failure(status: int, content: bytes) -> ComposirError:
    """The error that a problem tells of: of the same kind as the library raises."""
    try:
        document = _object(content)
        code, detail = str(document["code"]), str(document["detail"])
    except (RemoteError, KeyError):
        return RemoteError(f"the server answered with status {status}")
    kind = _kinds().get(code)
    if kind is None:
        return RemoteError(detail)
    error = kind.__new__(kind)  # some take other arguments than their message
    Exception.__init__(error, detail)
    return error


def _kinds() -> dict[str, type[ComposirError]]:
    import composir.serve.http_problems  # noqa: F401 - the server's own kinds are known then

    found: dict[str, type[ComposirError]] = {}
    waiting: list[type[ComposirError]] = [ComposirError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found


def picture_files(pictures: Sequence[str | Path | bytes]) -> list[tuple[str, bytes]]:
    """Names and bytes of pictures that are to be added."""
    return [
        ("picture" if isinstance(one, bytes) else Path(one).name, image_bytes(one))
        for one in pictures
    ]
