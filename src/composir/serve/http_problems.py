"""Errors as `application/problem+json` (RFC 9457): one status and one stable code for each kind."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import NotRequired

from typing_extensions import TypedDict

from composir import errors
from composir.data.fetch import FetchError
from composir.errors import ComposirError

MEDIA_TYPE = "application/problem+json"


class ProblemDocument(TypedDict):
    """What went wrong."""

    type: str
    """Where the code is explained."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    code: str
    """The kind of error; it never changes."""
    detail: str
    """What, where, and what to do."""
    request_id: str
    """Of this answer, in the server's log as well."""
    errors: NotRequired[list[dict[str, str]]]
    """Which fields of the request, and why."""


class RequestError(ComposirError):
    """A request is answered with a problem of its own.

    Attributes:
        status: Of HTTP.
        headers: Of the answer, beside those of every one.
    """

    code = "request"
    status = HTTPStatus.BAD_REQUEST

    def __init__(self, message: str, headers: dict[str, str] | None = None) -> None:
        """Tell what is wrong."""
        super().__init__(message)
        self.headers = headers or {}


class UnexpectedError(RequestError):
    """Something went wrong that nobody thought of."""

    code = "internal"
    status = HTTPStatus.INTERNAL_SERVER_ERROR


class InvalidRequestError(RequestError):
    """Fields are missing, unknown or of the wrong kind."""

    code = "invalid-request"
    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, message: str, faults: list[dict[str, str]] | None = None) -> None:
        """Tell what is wrong, field by field."""
        super().__init__(message)
        self.faults = faults or []


class UnauthorizedError(RequestError):
    """The key is missing or wrong."""

    code = "unauthorized"
    status = HTTPStatus.UNAUTHORIZED


class HostRefusedError(RequestError):
    """The request names a host that this server is not."""

    code = "host-refused"
    status = HTTPStatus.MISDIRECTED_REQUEST


class OriginRefusedError(RequestError):
    """The request comes from another site."""

    code = "origin-refused"
    status = HTTPStatus.FORBIDDEN


class NotAllowedError(RequestError):
    """The server was started without leave to do that."""

    code = "not-allowed"
    status = HTTPStatus.FORBIDDEN


class NotFoundError(RequestError):
    """There is nothing at an address."""

    code = "not-found"
    status = HTTPStatus.NOT_FOUND


class MethodError(RequestError):
    """An address takes other methods."""

    code = "method-not-allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED


class MediaTypeError(RequestError):
    """A body is of a type that is not read."""

    code = "media-type"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BodyTooLargeError(RequestError):
    """A body has more bytes than are read."""

    code = "body-too-large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class SlowRequestError(RequestError):
    """A request did not arrive in time."""

    code = "request-too-slow"
    status = HTTPStatus.REQUEST_TIMEOUT


class BusyError(RequestError):
    """More is asked at once than can be answered."""

    code = "busy"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, seconds: float) -> None:
        """Tell when to come back."""
        super().__init__(message, {"Retry-After": str(max(1, round(seconds)))})


class AnswerTooSlowError(RequestError):
    """An answer took longer than it may."""

    code = "answer-too-slow"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ClosingError(RequestError):
    """The server is about to end, or not ready yet."""

    code = "not-ready"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ClientGoneError(RequestError):
    """Nobody waits for the answer any more."""

    code = "client-gone"
    status = HTTPStatus.BAD_REQUEST


class CursorError(RequestError):
    """A cursor is none, or too old."""

    code = "cursor-expired"
    status = HTTPStatus.GONE


class JobNotFoundError(RequestError):
    """There is no job of an id."""

    code = "job-not-found"
    status = HTTPStatus.NOT_FOUND


STATUSES: dict[type[ComposirError], HTTPStatus] = {
    errors.ImageNotFoundError: HTTPStatus.NOT_FOUND,
    errors.ReferenceTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnreadableReferenceError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MessageMismatchError: HTTPStatus.CONFLICT,
    errors.QueryError: HTTPStatus.BAD_REQUEST,
    errors.GalleryNotFoundError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EmptyGalleryError: HTTPStatus.CONFLICT,
    errors.GalleryBusyError: HTTPStatus.CONFLICT,
    errors.BundleMismatchError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DiskFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.GalleryError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ObjectStoreError: HTTPStatus.BAD_GATEWAY,
    errors.ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ImageReadError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DatasetError: HTTPStatus.BAD_REQUEST,
    FetchError: HTTPStatus.BAD_GATEWAY,
    ComposirError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: ComposirError) -> HTTPStatus:
    """The HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(error: ComposirError, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    status = status_of(error)
    document: ProblemDocument = {
        "type": f"urn:composir:problem:{error.code}",
        "title": status.phrase,
        "status": status.value,
        "code": error.code,
        "detail": str(error),
        "request_id": request_id,
    }
    if isinstance(error, InvalidRequestError) and error.faults:
        document["errors"] = error.faults
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if isinstance(error, RequestError):
        headers |= error.headers
    return status.value, headers, json.dumps(document).encode()
