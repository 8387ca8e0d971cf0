"""A server of colours on a free loopback port, in a thread of the test's process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from composir.gallery import Gallery
from composir.model.base import EmbeddingModel
from composir.serve.app import create_app
from composir.serve.running import Server, listen
from composir.serve.settings import ServeSettings
from tests.e2e.commands import paint_all
from tests.fakes import ColourModel


def colours(folder: Path, model: EmbeddingModel | None = None) -> Path:
    """A gallery of one picture of each colour; the folder of the pictures is beside it."""
    paint_all(folder / "pictures")
    gallery = Gallery.create_or_open(folder / "gallery", model or ColourModel())
    gallery.index([folder / "pictures"])
    return folder / "gallery"


@contextmanager
def live(
    gallery: Path,
    settings: ServeSettings | None = None,
    model: EmbeddingModel | None = None,
    **parts: Any,
) -> Iterator[httpx.Client]:
    """A client of a running server; both end with the block."""
    settings = replace(settings or ServeSettings(), port=0)
    app = create_app(gallery, model or ColourModel(), settings, **parts)
    with listen(settings) as opened:
        server = Server(app, settings)
        thread = Thread(target=server.run, args=([opened],), daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            address = f"http://127.0.0.1:{opened.getsockname()[1]}"
            with httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
                yield client
        finally:
            server.stop()
            thread.join(20)
    assert not thread.is_alive()
