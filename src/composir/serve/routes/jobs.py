"""Index runs: begin, list, watch, stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from composir.data.remote_paths import root_path
from composir.data.volumes import lies_below
from composir.serve.engine import Engine
from composir.serve.forms import read_json
from composir.serve.http_problems import NotAllowedError
from composir.serve.job_board import IndexJob
from composir.serve.responses import Json, Responses, problems
from composir.serve.routes.state import state_of
from composir.serve.schemas import IndexRequest, JobDocument, JobList

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_LOOKS_A_SECOND = 5
_BEAT = 50  # looks without news, after which something is sent all the same
_EVENTS: Responses = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "`progress` events, then one of `done`, `failed` or `cancelled`; the data "
        "of each is the job.",
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{IndexRequest.__name__}"},
                "example": {"paths": []},
            }
        },
    }
}


@router.post(
    "", response_model=JobDocument, status_code=202, responses=problems(), openapi_extra=_BODY
)
async def begin(request: Request) -> Response:
    """Bring the gallery up to date with folders that it knows."""
    state = state_of(request)
    asked = await read_json(request, IndexRequest)
    paths = await state.engine.run(partial(_allowed, state.engine, asked.paths), request)
    job = state.jobs.add(paths, retry_failures=asked.retry_failures)
    return Json(job.document(), 202, headers={"Location": f"/v1/jobs/{job.id}"})


def _allowed(engine: Engine, paths: Sequence[str]) -> list[Path]:
    """Folders of this machine that may be indexed: what the gallery covers already."""
    engine.check()
    roots = list(engine.gallery.info().roots)
    if not paths:
        return roots
    wanted = [root_path(path) for path in paths if "\0" not in path]
    known = [str(root.resolve()) for root in roots]
    for path in wanted:
        if not any(lies_below(str(path.resolve()), root) for root in known):
            raise NotAllowedError(
                f"{path} is in no folder that the gallery knows; index it once from the command "
                "line: composir index"
            )
    return wanted


@router.get("", response_model=JobList, responses=problems())
async def listed(request: Request) -> Response:
    """The last index runs, newest first."""
    return Json({"jobs": [job.document() for job in state_of(request).jobs.newest()]})


@router.get("/{job_id}", response_model=JobDocument, responses=problems())
async def one(job_id: str, request: Request) -> Response:
    """Where an index run stands."""
    return Json(state_of(request).jobs.find(job_id).document())


@router.delete("/{job_id}", response_model=JobDocument, responses=problems())
async def stop(job_id: str, request: Request) -> Response:
    """Stop an index run; what it has encoded stays in the gallery."""
    jobs = state_of(request).jobs
    job = jobs.find(job_id)
    jobs.cancel(job)
    return Json(job.document())


@router.get(
    "/{job_id}/events", responses={**problems(), **_EVENTS}, response_class=StreamingResponse
)
async def events(job_id: str, request: Request) -> Response:
    """An index run as it goes, as server-sent events."""
    state = state_of(request)
    job = state.jobs.find(job_id)
    told = _told(job, state.engine)
    return StreamingResponse(told, media_type="text/event-stream")


async def _told(job: IndexJob, engine: Engine) -> AsyncIterator[str]:
    seen, quiet = -1, 0
    while not engine.closing.is_set():
        changes, has_ended = job.changes, job.has_ended
        if changes != seen or has_ended:
            seen, quiet = changes, 0
            name = job.state if has_ended else "progress"
            yield f"event: {name}\ndata: {json.dumps(job.document())}\n\n"
        elif quiet >= _BEAT:
            quiet = 0
            yield ": still here\n\n"
        if has_ended:
            return
        quiet += 1
        await asyncio.sleep(1 / _LOOKS_A_SECOND)
