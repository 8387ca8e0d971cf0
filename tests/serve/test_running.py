"""The server's socket."""

from __future__ import annotations

import socket

from composir.serve.running import listen
from composir.serve.settings import ServeSettings


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with (
        listen(ServeSettings(port=0)) as opened,
        socket.create_connection(opened.getsockname()),
    ):
        accepted, _ = opened.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
