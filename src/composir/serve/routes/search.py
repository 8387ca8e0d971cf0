"""Searching: one query, several, a query's vector, an explanation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from composir.errors import ComposirError, QueryError
from composir.serve.asking import question, search
from composir.serve.engine import Engine
from composir.serve.forms import FORM_SCHEMA, read_json, read_search
from composir.serve.http_problems import problem
from composir.serve.responses import Json, problems
from composir.serve.routes.state import State, state_of
from composir.serve.schemas import (
    EXAMPLE_COMPOSED,
    EXAMPLE_TEXT,
    BatchAnswer,
    BatchItem,
    BatchRequest,
    EmbeddedQuery,
    SearchAnswer,
    SearchRequest,
)

router = APIRouter(prefix="/v1", tags=["search"])
_EXAMPLES = {
    "words": {"summary": "Words alone", "value": EXAMPLE_TEXT},
    "composed": {"summary": "An image of the gallery, changed", "value": EXAMPLE_COMPOSED},
}
_JSON = {
    "schema": {"$ref": f"#/components/schemas/{SearchRequest.__name__}"},
    "examples": _EXAMPLES,
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": _JSON, "multipart/form-data": {"schema": FORM_SCHEMA}},
    }
}
_BATCH = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{BatchRequest.__name__}"},
                "example": {"queries": [EXAMPLE_TEXT]},
            }
        },
    }
}


@router.post(
    "/search",
    response_model=SearchAnswer,
    responses=problems(409, 410, 502),
    openapi_extra=_BODY,
)
async def find(request: Request) -> Response:
    """Search by an image, words, or both.

    `curl -F image=@ref.jpg -F text="at night" 127.0.0.1:8732/v1/search`
    """
    state = state_of(request)
    asked = await read_search(request, state.engine.settings.limits)
    work, reranks = partial(state.searches.answer, asked), state.searches.reranks(asked)
    return Json(await state.engine.run(work, request, reranks=reranks))


@router.post(
    "/search/batch", response_model=BatchAnswer, responses=problems(), openapi_extra=_BATCH
)
async def find_all(request: Request) -> Response:
    """Answer several queries; each is answered, or fails, for itself."""
    state = state_of(request)
    asked = await read_json(request, BatchRequest)
    reranks = any(map(state.searches.reranks, asked.queries))
    parts = [partial(_answer, state, one, request.state.request_id) for one in asked.queries]
    return Json(
        await state.engine.run(partial(_all, state, parts, reranks), request, reranks=reranks)
    )


def _all(state: State, parts: Sequence[Callable[[], BatchItem]], reranks: bool) -> BatchAnswer:
    """Side by side, unless a joint encoder has a part in them, which fills the cores alone."""
    return {"results": [part() for part in parts] if reranks else state.engine.side_by_side(parts)}


def _answer(state: State, asked: SearchRequest, request_id: str) -> BatchItem:
    try:
        return {"answer": state.searches.answer(asked)}
    except ComposirError as error:
        return {"problem": json.loads(problem(error, request_id)[2])}


@router.post(
    "/embed-query",
    response_model=EmbeddedQuery,
    responses=problems(409, 502),
    openapi_extra=_BODY,
)
async def embed(request: Request) -> Response:
    """The vector of a query, for other stores of the same vectors.

    Takes what a search takes; which hits are wanted does not matter.
    """
    engine = state_of(request).engine
    asked = await read_search(request, engine.settings.limits)
    return Json(await engine.run(partial(_embed, engine, asked), request))


def _embed(engine: Engine, asked: SearchRequest) -> EmbeddedQuery:
    one = question(asked, engine)
    composed = engine.gallery.embed_query(one.query, composer=one.composer)
    return {
        "vectors": composed.vectors[0].tolist(),
        "rule": composed.rule,
        "rules_out": composed.rules_out,
        "composer": one.composer.name,
        "model": engine.model.name,
        "fingerprint": engine.model.fingerprint,
        "dimension": engine.model.dimension,
    }


@router.post("/explain", responses=problems(409, 502), openapi_extra=_BODY)
async def explain(request: Request) -> Response:
    """Why these are the hits: what each phrase changed, and what the composer saw.

    The document is that of `composir search --explain FILE.json`.
    """
    engine = state_of(request).engine
    asked = await read_search(request, engine.settings.limits)
    return Json(await engine.run(partial(_explain, engine, asked), request))


def _explain(engine: Engine, asked: SearchRequest) -> dict[str, Any]:
    from composir.explain import ExplainSettings, explain_search
    from composir.explain.document import as_document

    if asked.message is not None or asked.sort != "score":
        raise QueryError("an explanation needs the picture, and hits in the order of their score")
    if asked.rerank is not None:
        raise QueryError(
            "an explanation tells why hits score best in the gallery: leave rerank out"
        )
    one = question(asked, engine)
    result = search(engine, one, asked, asked.k)
    settings = ExplainSettings(
        asked.where, asked.include_reference, asked.collapse_duplicates, asked.missing
    )
    return as_document(explain_search(result, engine.gallery, one.composer, settings))
