"""Clients of a server, with the names and results of `Gallery`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, Unpack

try:
    import httpx
except ModuleNotFoundError as error:
    from composir.errors import MissingExtraError

    raise MissingExtraError("httpx", "client") from error
import numpy as np

from composir.compose.base import ComposedQueries
from composir.crop import Crop
from composir.references import ReferenceInput
from composir.serve import calls
from composir.serve.calls import ApiCall, RemoteError, SearchArguments
from composir.types import Query, SearchResult

Made = TypeVar("Made")
Progress = Callable[[dict[str, Any]], None]
_SECONDS = 60.0
Images: TypeAlias = "ReferenceInput | Sequence[ReferenceInput] | None"


class _Shared:
    """What both clients know."""

    def __init__(self, address: str, *, api_key: str = "", timeout: float = _SECONDS) -> None:
        """Know a server; nothing is sent yet.

        Args:
            address: E.g. `http://127.0.0.1:8732`.
            api_key: Where the server asks for one.
            timeout: Of one answer, seconds.
        """
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.address = address.rstrip("/")
        # Proxies of the environment would see what is searched for on this machine.
        self._settings: dict[str, Any] = {
            "base_url": self.address,
            "headers": headers,
            "timeout": timeout,
            "trust_env": False,
        }

    def _parts(self, call: ApiCall[Any]) -> dict[str, Any]:
        parts: dict[str, Any] = {"method": call.method, "url": call.path}
        if call.files:
            parts["files"] = [("image", file) for file in call.files]
        elif call.body is not None:
            parts["json"] = call.body
        return parts

    def _made(self, call: ApiCall[Made], answer: httpx.Response) -> Made:
        if answer.is_success:
            return call.read(answer.content)
        raise calls.failure(answer.status_code, answer.content)

    def _unreachable(self, error: Exception) -> RemoteError:
        reason = str(error) or type(error).__name__
        return RemoteError(f"the server {self.address} cannot be asked: {reason}")


class Client(_Shared):
    """Asks a server.

    Example:
        >>> with Client("http://127.0.0.1:8732") as client:
        ...     client.search(image="ref.jpg", text="at night").hits[0].path
    """

    def __init__(self, address: str, *, api_key: str = "", timeout: float = _SECONDS) -> None:
        """As `_Shared`: an address, a key where the server asks for one, seconds for an answer."""
        super().__init__(address, api_key=api_key, timeout=timeout)
        self._http = httpx.Client(**self._settings)

    def __enter__(self) -> Client:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(
        self,
        query: Query | None = None,
        *,
        image: Images = None,
        text: str = "",
        negatives: Sequence[str] = (),
        crop: Crop | None = None,
        **options: Unpack[SearchArguments],
    ) -> SearchResult:
        """Search, as `Gallery.search`.

        Args:
            query: As there; or its parts:
            image: References; `calls.in_gallery(id)` for an image of the gallery.
            text: The modification text, or a description.
            negatives: What the hits should not show.
            crop: The part of the reference that is meant.
            **options: As `Gallery.search`, with `rerank` as `model` names it, and `settings`,
                `balance`, `more` and `less` of the API.

        Raises:
            ComposirError: Of the same kind as the library would raise.
        """
        asked = query or Query(image=image, text=text, negatives=tuple(negatives), crop=crop)
        return self._do(calls.search(asked, **options))

    def embed_query(self, query: Query, *, composer: str | None = None) -> ComposedQueries:
        """The vector that a query is ranked by, as `Gallery.embed_query`, without negatives."""
        return self._do(_embedding(query, composer))

    def explain(self, query: Query, **options: Unpack[SearchArguments]) -> dict[str, Any]:
        """Why these are the hits, as a document."""
        return self._do(_document("POST", "/v1/explain", calls.request(query, **options)))

    def thumbnail(self, image_id: str) -> bytes:
        """The thumbnail of an image, JPEG."""
        return self._do(_thumbnail(image_id))

    def image(self, image_id: str) -> dict[str, Any]:
        """What the gallery holds of an image."""
        return self._do(_document("GET", f"/v1/images/{image_id}"))

    def info(self) -> dict[str, Any]:
        """What the gallery holds, and what the server allows."""
        return self._do(_document("GET", "/v1/gallery"))

    def model(self) -> dict[str, Any]:
        """The model and its composers."""
        return self._do(_document("GET", "/v1/model"))

    def add(self, pictures: Sequence[str | Path | bytes]) -> dict[str, Any]:
        """Add pictures, where the server keeps them."""
        return self._do(_added(pictures))

    def delete(self, image_id: str) -> dict[str, Any]:
        """Take an image out of the gallery; its file is not touched."""
        return self._do(_document("DELETE", f"/v1/images/{image_id}"))

    def index(
        self, paths: Sequence[str] = (), *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Bring the gallery up to date, and wait until that is done.

        Args:
            paths: Folders of the server's machine that the gallery knows; none for all.
            progress: Called with the job whenever there is news.

        Raises:
            ComposirError: If the run fails.
        """
        job = self._do(_document("POST", "/v1/jobs", {"paths": list(paths)}))
        try:
            with self._http.stream("GET", f"/v1/jobs/{job['id']}/events", timeout=None) as told:
                for job in _events(told.iter_lines()):
                    if progress is not None:
                        progress(job)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return _report(job)

    def __len__(self) -> int:
        """Number of images."""
        return int(self.info()["images"])

    def _do(self, call: ApiCall[Made]) -> Made:
        try:
            answer = self._http.request(**self._parts(call))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return self._made(call, answer)


class AsyncClient(_Shared):
    """Asks a server without blocking; as `Client`, with `await`."""

    def __init__(self, address: str, *, api_key: str = "", timeout: float = _SECONDS) -> None:
        """As `Client`."""
        super().__init__(address, api_key=api_key, timeout=timeout)
        self._http = httpx.AsyncClient(**self._settings)

    async def __aenter__(self) -> AsyncClient:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def search(
        self,
        query: Query | None = None,
        *,
        image: Images = None,
        text: str = "",
        negatives: Sequence[str] = (),
        crop: Crop | None = None,
        **options: Unpack[SearchArguments],
    ) -> SearchResult:
        """As `Client.search`."""
        asked = query or Query(image=image, text=text, negatives=tuple(negatives), crop=crop)
        return await self._do(calls.search(asked, **options))

    async def embed_query(self, query: Query, *, composer: str | None = None) -> ComposedQueries:
        """As `Client.embed_query`."""
        return await self._do(_embedding(query, composer))

    async def explain(self, query: Query, **options: Unpack[SearchArguments]) -> dict[str, Any]:
        """As `Client.explain`."""
        return await self._do(_document("POST", "/v1/explain", calls.request(query, **options)))

    async def thumbnail(self, image_id: str) -> bytes:
        """As `Client.thumbnail`."""
        return await self._do(_thumbnail(image_id))

    async def image(self, image_id: str) -> dict[str, Any]:
        """As `Client.image`."""
        return await self._do(_document("GET", f"/v1/images/{image_id}"))

    async def info(self) -> dict[str, Any]:
        """As `Client.info`."""
        return await self._do(_document("GET", "/v1/gallery"))

    async def model(self) -> dict[str, Any]:
        """As `Client.model`."""
        return await self._do(_document("GET", "/v1/model"))

    async def add(self, pictures: Sequence[str | Path | bytes]) -> dict[str, Any]:
        """As `Client.add`."""
        return await self._do(_added(pictures))

    async def delete(self, image_id: str) -> dict[str, Any]:
        """As `Client.delete`."""
        return await self._do(_document("DELETE", f"/v1/images/{image_id}"))

    async def index(
        self, paths: Sequence[str] = (), *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """As `Client.index`."""
        job = await self._do(_document("POST", "/v1/jobs", {"paths": list(paths)}))
        address = f"/v1/jobs/{job['id']}/events"
        try:
            async with self._http.stream("GET", address, timeout=None) as told:
                async for line in told.aiter_lines():
                    for job in _events([line]):
                        if progress is not None:
                            progress(job)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return _report(job)

    async def _do(self, call: ApiCall[Made]) -> Made:
        try:
            answer = await self._http.request(**self._parts(call))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return self._made(call, answer)


def _document(method: str, path: str, body: Any = None) -> ApiCall[dict[str, Any]]:
    return ApiCall(method, path, calls.parsed, body)


def _thumbnail(image_id: str) -> ApiCall[bytes]:
    return ApiCall("GET", f"/v1/images/{image_id}/thumbnail", bytes)


def _added(pictures: Sequence[str | Path | bytes]) -> ApiCall[dict[str, Any]]:
    files = calls.picture_files(pictures)
    return ApiCall("POST", "/v1/images", calls.parsed, files=files)


def _embedding(query: Query, composer: str | None) -> ApiCall[ComposedQueries]:
    def read(content: bytes) -> ComposedQueries:
        document = calls.parsed(content)
        vectors = np.array(document["vectors"], dtype=np.float32)[None]
        return ComposedQueries(vectors, document["rule"])

    return ApiCall("POST", "/v1/embed-query", read, calls.request(query, composer=composer))


def _events(lines: Sequence[str] | Iterator[str]) -> Iterator[dict[str, Any]]:
    """The jobs in a stream of server-sent events."""
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def _report(job: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a job that is done."""
    if job["state"] == "done":
        report: dict[str, Any] = job["report"]
        return report
    problem = job["problem"]
    if problem is None:
        raise RemoteError(f"the index run ended before it was done ({job['state']})")
    raise calls.failure(500, json.dumps(problem).encode())
