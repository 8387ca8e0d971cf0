"""The server's socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import uvicorn
from threadpoolctl import threadpool_info

from composir.serve.running import Server, listen
from composir.serve.settings import ServeSettings


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with (
        listen(ServeSettings(port=0)) as opened,
        socket.create_connection(opened.getsockname()),
    ):
        accepted, _ = opened.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_products_of_numpy_take_one_thread_while_a_server_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    during: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_: during.append(threadpool_info()))
    before = threadpool_info()
    Server.__new__(Server).run()

    assert {pool["num_threads"] for pool in during[0] if pool["user_api"] == "blas"} <= {1}
    assert threadpool_info() == before
