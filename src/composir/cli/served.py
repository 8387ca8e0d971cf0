"""Searching through the running server of a gallery, whose model is warm."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException

from composir.cli.terminal import note, printable
from composir.compose import parse_composer
from composir.data.announced import LOOPBACK, RunningServer
from composir.errors import ComposerNotFoundError
from composir.serve import calls
from composir.serve.settings import MOST_HITS
from composir.types import Query, SearchOptions, SearchResult

_SECONDS = 60.0


def served_result(
    server: RunningServer, query: Query, composer: str | None, options: SearchOptions
) -> SearchResult | None:
    """Ask the running server of a gallery.

    Returns:
        Its answer; None where this is nothing that it does, or it is too busy: the gallery is to be
        asked itself then.
    """
    name, settings = (None, {}) if composer is None else parse_composer(composer)
    if options["k"] > MOST_HITS:
        return None
    call = calls.search(query, composer=name, settings=settings, **options)
    try:
        status, content = _asked(server, call)
    except (OSError, HTTPException) as error:
        note(f"the running server does not answer ({error}); searching without it")
        return None
    if status == 200:
        return call.read(content)
    _refused(status, content)
    return None


def _asked(server: RunningServer, call: calls.ApiCall[SearchResult]) -> tuple[int, bytes]:
    connection = HTTPConnection(LOOPBACK, server.port, timeout=_SECONDS)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.key}"}
    try:
        connection.request(call.method, call.path, json.dumps(call.body).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _refused(status: int, content: bytes) -> None:
    """Raise what the gallery would raise as well; tell of what only the server refuses."""
    from composir.serve.http_problems import RequestError

    error = calls.failure(status, content)
    if isinstance(error, ComposerNotFoundError):
        return  # perhaps a folder, which servers do not open
    if not isinstance(error, RequestError | calls.RemoteError):
        raise error
    note(f"the running server: {printable(str(error))}; searching without it")
