"""Whether the server lives and is ready; numbers; a browser's session; proof of who it is."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from composir.data.announced import NONCE_HEADER, PROOF_HEADER, proof
from composir.serve.counters import CONTENT_TYPE
from composir.serve.guard import SESSION
from composir.serve.http_problems import ClosingError
from composir.serve.responses import Json, Responses, problems
from composir.serve.routes.state import state_of
from composir.serve.schemas import Health

router = APIRouter(tags=["health"])
_METRICS: Responses = {200: {"content": {"text/plain": {}}, "description": "For Prometheus."}}


@router.get("/healthz", response_model=Health, responses=problems())
async def lives(request: Request) -> Response:
    """Whether the server lives.

    A program of the same user that knows the local key can have the answer signed, so that it
    speaks to this server and not to another that took its port: `X-Composir-Nonce`.
    """
    nonce, key = request.headers.get(NONCE_HEADER, ""), _local_key(request)
    headers = {}
    if nonce and key:
        headers[PROOF_HEADER] = proof(key, nonce)
    return Json(_health("alive"), headers=headers)


def _local_key(request: Request) -> str:
    return state_of(request).engine.settings.local_key


@router.get("/readyz", response_model=Health, responses=problems())
async def ready(request: Request) -> Response:
    """Whether the model is warm and the gallery can be searched."""
    engine = state_of(request).engine
    if not engine.ready.is_set() or engine.closing.is_set():
        raise ClosingError("the server is not ready to search")
    engine.check()
    return Json(_health("ready"))


def _health(status: str) -> Health:
    import composir

    return {"status": status, "version": composir.__version__}


@router.get("/metrics", responses={**problems(), **_METRICS}, response_class=Response)
async def numbers(request: Request) -> Response:
    """Counters for Prometheus."""
    content = state_of(request).engine.metrics.text()
    return Response(content, headers={"Content-Type": CONTENT_TYPE})


@router.post("/v1/session", status_code=204, responses=problems(), response_class=Response)
async def session(request: Request) -> Response:
    """Let a browser that has shown its key go on without it: pictures in a page bring no header."""
    answer = Response(status_code=204)
    answer.set_cookie(SESSION, state_of(request).session, httponly=True, samesite="strict")
    return answer
