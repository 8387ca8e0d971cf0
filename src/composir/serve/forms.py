"""Requests as JSON or as a form; whatever a form brings stays in memory, never on the disk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from composir.crop import Crop
from composir.serve.http_problems import (
    BodyTooLargeError,
    ClientGoneError,
    InvalidRequestError,
    MediaTypeError,
)
from composir.serve.schemas import MOST_TEXT, SearchRequest
from composir.serve.settings import Limits

Model = TypeVar("Model", bound=BaseModel)
_MOST_FIELDS = 200
_MANY = {"negative": "negatives", "more": "more", "less": "less"}
_FILES = ("image", "message")
_IMAGES = {"image_id": "id", "image_url": "url"}
_TYPED = ("crop", "settings")
FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Picture files.",
        },
        "image_id": {"type": "array", "items": {"type": "string"}},
        "image_url": {"type": "array", "items": {"type": "string"}},
        "message": {"type": "string", "format": "binary"},
        "text": {"type": "string"},
        "negative": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "array", "items": {"type": "string"}},
        "less": {"type": "array", "items": {"type": "string"}},
        "crop": {"type": "string", "description": "As in JSON, or `X,Y,WIDTH,HEIGHT`."},
        "settings": {"type": "string", "description": "As in JSON."},
        "k": {"type": "integer"},
        "composer": {"type": "string"},
        "balance": {"type": "number"},
        "where": {"type": "string"},
        "sort": {"type": "string"},
        "min_confidence": {"type": "number"},
        "literal": {"type": "boolean"},
        "include_reference": {"type": "boolean"},
        "collapse_duplicates": {"type": "boolean"},
        "missing": {"type": "string"},
        "rerank": {"type": "string"},
        "rerank_top": {"type": "integer"},
        "cursor": {"type": "string"},
    },
}


async def read_search(request: Request, limits: Limits) -> SearchRequest:
    """The search that a request asks for, in JSON or as a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await read_json(request, SearchRequest)
    if kind != "multipart/form-data":
        raise MediaTypeError("send application/json or multipart/form-data")
    async with read_form(request, limits) as form:
        return await _from_form(form, limits)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The JSON of a request, checked."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MediaTypeError("send application/json")
    return checked(model, await _body(request))


def checked(model: type[Model], given: bytes | dict[str, Any]) -> Model:
    """What was given, as a model has it."""
    try:
        if isinstance(given, bytes):
            return model.model_validate_json(given)
        return model.model_validate(given)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> InvalidRequestError:
    faults = [
        {"field": ".".join(map(str, one["loc"])), "reason": one["msg"]}
        for one in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    first = faults[0]
    where = f"{first['field']}: " if first["field"] else ""
    return InvalidRequestError(f"{where}{first['reason']}", faults[:20])


@asynccontextmanager
async def read_form(request: Request, limits: Limits) -> AsyncIterator[FormData]:
    """The fields and files of a form, until the block ends."""
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=32,
        max_fields=_MOST_FIELDS,
        max_part_size=4 * MOST_TEXT,
    )
    parser.spool_max_size = limits.body  # a picture that is searched for is nobody else's
    try:
        form = await parser.parse()
    except ClientDisconnect as error:
        raise ClientGoneError("the client went away") from error
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", "") or "its boundary is missing"
        raise InvalidRequestError(f"the form cannot be read: {reason}") from error
    try:
        yield form
    finally:
        await form.close()


async def read_upload(file: UploadFile, limits: Limits) -> bytes:
    """The bytes of a picture in a form."""
    content = await file.read(limits.image + 1)
    if len(content) > limits.image:
        raise BodyTooLargeError(f"a picture may have {limits.image >> 20} MiB: send a smaller one")
    return content


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise ClientGoneError("the client went away") from error


async def _from_form(form: FormData, limits: Limits) -> SearchRequest:
    fields: dict[str, Any] = {}
    images: list[dict[str, Any]] = []
    for name, value in form.multi_items():
        if name in _FILES:
            content = await _content(name, value, limits)
            if name == "message":
                fields["message"] = content
            else:
                images.append({"data": content})
        elif not isinstance(value, str):
            raise InvalidRequestError(f"{name}: a file where text belongs")
        elif name in _IMAGES:
            images.append({_IMAGES[name]: value})
        elif name in _MANY:
            fields.setdefault(_MANY[name], []).append(value)
        else:
            fields[name] = _typed(name, value)
    return checked(SearchRequest, {**fields, "images": images} if images else fields)


async def _content(name: str, value: UploadFile | str, limits: Limits) -> bytes:
    if isinstance(value, str):
        raise InvalidRequestError(f"{name}: send a file, as in `curl -F {name}=@FILE`")
    return await read_upload(value, limits)


def _typed(name: str, value: str) -> object:
    """Fields of a form are texts; those of structure are JSON in them."""
    if name == "crop" and not value.lstrip().startswith("{"):
        return asdict(Crop.parse(value))
    if name not in _TYPED:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{name}: give it as JSON") from error
