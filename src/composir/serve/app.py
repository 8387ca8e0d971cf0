"""The application: routes, problems, and the guard before all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from composir.errors import ComposirError
from composir.gallery import Gallery
from composir.gallery.progress import IndexProgress
from composir.model.base import EmbeddingModel
from composir.serve.asking import Searches
from composir.serve.counters import Metrics
from composir.serve.engine import Engine
from composir.serve.guard import Guard
from composir.serve.http_problems import (
    InvalidRequestError,
    MethodError,
    NotFoundError,
    ProblemDocument,
    RequestError,
    UnexpectedError,
    problem,
)
from composir.serve.job_board import IndexJob, JobBoard
from composir.serve.routes import health, images, jobs, page, search
from composir.serve.routes import model as models
from composir.serve.routes.state import State
from composir.serve.schemas import BatchRequest, IndexRequest, SearchRequest
from composir.serve.settings import ServeSettings
from composir.types import IndexReport

_DESCRIPTION = (
    "Search your own pictures by an image and words. Errors are `application/problem+json` with a "
    "stable `code`; every answer names its `X-Request-Id`."
)
_PACKED_ALREADY = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream", "image/*")


def create_app(
    gallery: Path,
    model: EmbeddingModel,
    settings: ServeSettings | None = None,
    *,
    reranker: EmbeddingModel | None = None,
    static: Path = page.STATIC,
) -> Guard:
    """Make the application that serves one gallery.

    Args:
        gallery: Its folder.
        model: The gallery's.
        settings: Who may ask, for what.
        reranker: A joint encoder that searches may ask to order their first hits.
        static: Folder of the built page.

    Raises:
        ModelError: If `reranker` is no joint encoder.
    """
    settings = settings or ServeSettings()
    metrics = Metrics()
    engine = Engine(gallery, model, settings, metrics, reranker)
    app = FastAPI(
        title="composir",
        description=_DESCRIPTION,
        version=_version(),
        docs_url=None,  # its scripts come from a CDN
        redoc_url=None,
        lifespan=partial(_lifespan, engine=engine),
    )
    guard = Guard(app, settings, metrics, engine.closing)
    app.state.composir = State(
        engine, Searches(engine), JobBoard(partial(_index, engine)), guard.session
    )
    for module in (search, images, jobs, models, health):
        app.include_router(module.router)
    app.include_router(page.page_router(static))
    _answer_problems(app)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1024,
        compresslevel=5,
        exclude_content_types=_PACKED_ALREADY,
    )
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    return guard


@asynccontextmanager
async def _lifespan(app: FastAPI, *, engine: Engine) -> AsyncIterator[None]:
    """Warm up before the first request, and finish what was begun after the last."""
    await asyncio.to_thread(engine.warm)
    yield
    engine.closing.set()
    await asyncio.to_thread(app.state.composir.jobs.close)
    await asyncio.to_thread(engine.close)


def _index(engine: Engine, job: IndexJob, told: Callable[[IndexProgress], None]) -> IndexReport:
    """Index with the model itself, so that searches do not wait for whole batches of pictures."""
    opened = Gallery(engine.gallery.path, engine.model)
    return opened.index(job.paths, retry_failures=job.retry_failures, progress=told)


def _version() -> str:
    import composir

    return composir.__version__


def _answer_problems(app: FastAPI) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        status, headers, body = problem(_clear(error), request.state.request_id)
        return Response(body, status, headers)

    for kind in (ComposirError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _clear(error: Exception) -> ComposirError:
    """The problem that an exception is."""
    if isinstance(error, ComposirError):
        return error
    if isinstance(error, RequestValidationError):
        faults = [
            {"field": ".".join(map(str, one["loc"])), "reason": str(one["msg"])}
            for one in error.errors()
        ]
        return InvalidRequestError(f"{faults[0]['field']}: {faults[0]['reason']}", faults)
    if isinstance(error, HTTPException):
        return _of_http(error)
    return UnexpectedError("the server failed; its log says more")


def _of_http(error: HTTPException) -> RequestError:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return NotFoundError("there is nothing at this address", headers)
    if error.status_code == 405:
        allowed = headers.get("Allow", "others")
        return MethodError(f"this address takes other methods: {allowed}", headers)
    return RequestError(str(error.detail), headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with what is read by hand and not by FastAPI."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for kind in (SearchRequest, BatchRequest, IndexRequest, ProblemDocument):
            schema = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[kind.__name__] = schema
        app.openapi_schema = made
    return app.openapi_schema
