"""What the routes of one server share, and how they reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from composir.serve.asking import Searches
from composir.serve.engine import Engine
from composir.serve.job_board import JobBoard


@dataclass(frozen=True, slots=True)
class State:
    """One server's parts."""

    engine: Engine
    searches: Searches
    jobs: JobBoard
    session: str


def state_of(request: Request) -> State:
    """The parts of the server that a request came to."""
    return cast("State", request.app.state.composir)
