"""Answers of the server: JSON that any file name survives, and what each address may answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from composir.documents import plain_value
from composir.serve.http_problems import MEDIA_TYPE, ProblemDocument

Responses: TypeAlias = "dict[int | str, dict[str, Any]]"
"""What an address may answer, as FastAPI takes it."""

IMMUTABLE = "private, max-age=31536000, immutable"
CHECKED = "private, no-cache"


class Json(Response):
    """JSON in ASCII: bytes of file names that are no UTF-8 come as lone surrogates."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write it."""
        return json.dumps(content, default=plain_value, allow_nan=False).encode()


def with_etag(
    request: Request, content: bytes, etag: str, media_type: str, *, caching: str
) -> Response:
    """Content, or that it has not changed since the client was given it."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": caching}
    known = request.headers.get("if-none-match", "")
    if etag in {one.strip().removeprefix("W/").strip('"') for one in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def problems(*statuses: int) -> Responses:
    """The problems that an address may answer with, for the OpenAPI document."""
    every = {400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 429, 500, 503, *statuses}
    content: Mapping[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}}}
    return {
        status: {"description": "A problem.", "content": dict(content)} for status in sorted(every)
    }


_PROBLEM = f"#/components/schemas/{ProblemDocument.__name__}"
