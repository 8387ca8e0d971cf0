"""What a server costs and carries: under load, beside the library and a bare route.

    python benchmarks/serve.py [--images 10000] [--requests 400] [--write]

Servers are processes of their own, and so is who asks them; all share this machine's cores. "Bare"
is a FastAPI route that calls `Gallery.search` and nothing else. `--write` puts the table into
`benchmarks/results/serve.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image, ImageChops
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse
from start_up import make_gallery

from composir import Query, load_model, open_gallery
from composir.documents import result_document
from composir.serve.app import create_app
from composir.serve.running import Server, listen
from composir.serve.settings import Limits, ServeSettings

RESULTS = Path(__file__).parent / "results" / "serve.md"
WORDS = ("a red mug", "a dog on a beach", "something to sit on", "a lamp", "a cat", "green shoes")
CHANGES = ("in red", "at night", "with stripes", "on the grass", "a pair of them", "in brass")
_PICTURES = 48
_READY = re.compile(r"listening at (\d+)")


@dataclass(frozen=True)
class Load:
    """One way of asking.

    Attributes:
        name: For the table.
        clients: How many ask at once, each as soon as it has its answer.
        picture: Whether a picture of one megapixel is uploaded each time.
    """

    name: str
    clients: int
    picture: bool


LOADS = (
    Load("words, 1 client", 1, False),
    Load("words, 8 clients", 8, False),
    Load("picture and words, 1 client", 1, True),
    Load("picture and words, 8 clients", 8, True),
)
SERVERS = {"composir": "composir serve", "unbatched": "without batching", "bare": "bare route"}


@dataclass(frozen=True)
class Figures:
    """What came of a load: seconds of each answer, of all of them, and codes of what failed."""

    seconds: np.ndarray[Any, np.dtype[np.float64]]
    total: float
    problems: Counter[str]

    def row(self, server: str, load: str) -> str:
        """One line of the table."""
        p50, p95 = np.percentile(self.seconds, [50, 95]) * 1000
        rate = len(self.seconds) / self.total
        failed = self.problems.total()
        return f"| {load} | {server} | {p50:.0f} ms | {p95:.0f} ms | {rate:.0f} | {failed} |"


def variants(reference: Path) -> Iterator[bytes]:
    """Pictures of one megapixel, more than any encoder remembers."""
    with Image.open(reference) as opened:
        for number in range(_PICTURES):
            buffer = io.BytesIO()
            ImageChops.offset(opened, 20 * number).save(buffer, "JPEG", quality=90)
            yield buffer.getvalue()


def body(number: int) -> dict[str, Any]:
    """The words of one request; no two in a row are the same."""
    return {"text": f"{WORDS[number % len(WORDS)]} {number}", "k": 10}


async def ask(address: str, load: Load, requests: int, pictures: Sequence[bytes]) -> Figures:
    """Ask so many times, all clients together."""
    numbers = iter(range(requests))
    seconds: list[float] = []
    problems: Counter[str] = Counter()

    async def client() -> None:
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
            for number in numbers:
                begun = time.perf_counter()
                if load.picture:
                    fields = {"text": CHANGES[number % len(CHANGES)], "k": "10"}
                    file = pictures[number % len(pictures)]
                    answer = await http.post("/v1/search", files={"image": file}, data=fields)
                else:
                    answer = await http.post("/v1/search", json=body(number))
                seconds.append(time.perf_counter() - begun)
                if answer.status_code != 200:
                    problems[str(answer.json().get("code", answer.status_code))] += 1

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(load.clients)))
    return Figures(np.array(seconds), time.perf_counter() - begun, problems)


def library(gallery: Path, load: Load, requests: int, pictures: Sequence[bytes]) -> Figures:
    """The same queries through the library, one after the other."""
    opened = open_gallery(gallery)
    seconds = []
    for number in range(-3, requests):
        text = CHANGES[number % len(CHANGES)] if load.picture else str(body(number)["text"])
        file = pictures[number % len(pictures)] if load.picture else None
        begun = time.perf_counter()
        opened.search(Query(image=file, text=text), k=10)
        seconds.append(time.perf_counter() - begun)
    warm = np.array(seconds[3:])
    return Figures(warm, float(warm.sum()), Counter())


@contextmanager
def running(kind: str, gallery: Path) -> Iterator[str]:
    """The address of a server of some kind; it ends with the block."""
    command = [sys.executable, __file__, "--server", kind, "--gallery", str(gallery)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = _READY.search(process.stdout.readline())
        assert found is not None, "the server did not start"
        address = f"http://127.0.0.1:{found[1]}"
        with httpx.Client(trust_env=False, transport=httpx.HTTPTransport(retries=50)) as http:
            http.get(f"{address}/healthz", timeout=60).raise_for_status()
        yield address
    finally:
        process.terminate()
        process.wait(30)


def serve(kind: str, gallery: Path) -> None:
    """Be a server of some kind."""
    limits = Limits(batch=1 if kind == "unbatched" else Limits().batch, waiting=1000)
    settings = replace(ServeSettings(), port=0, limits=limits)
    with listen(settings) as opened:
        print(f"listening at {opened.getsockname()[1]}", flush=True)
        if kind == "bare":
            server: uvicorn.Server = uvicorn.Server(
                uvicorn.Config(bare(gallery), log_level="warning", access_log=False)
            )
        else:
            server = Server(create_app(gallery, load_model(), settings), settings)
        server.run(sockets=[opened])


def bare(gallery: Path) -> Any:
    """The least that a server could be around the library."""
    app, opened = FastAPI(), open_gallery(gallery)
    opened.search(Query(text="warm"))

    async def search(request: Request) -> JSONResponse:
        if request.headers["content-type"] == "application/json":
            asked = await request.json()
            query = Query(text=asked["text"])
        else:
            form = await request.form()
            file = form["image"]
            assert isinstance(file, UploadFile)
            query = Query(image=await file.read(), text=str(form["text"]))
        result = await run_in_threadpool(opened.search, query, k=10)
        return JSONResponse(result_document(result))

    async def alive() -> str:
        return "alive"

    app.post("/v1/search", response_model=None)(search)
    app.get("/healthz")(alive)
    return app


def measure(gallery: Path, pictures: Sequence[bytes], requests: int) -> list[str]:
    """All rows: every load on every server, and through the library."""
    rows = []
    for load in LOADS:
        count = requests if not load.picture else max(requests // 2, 16)
        for kind, name in SERVERS.items():
            with running(kind, gallery) as address:
                asyncio.run(ask(address, load, 4 * load.clients, pictures))  # warm
                rows.append(asyncio.run(ask(address, load, count, pictures)).row(name, load.name))
                print(rows[-1], flush=True)
        if load.clients == 1:
            rows.append(library(gallery, load, count, pictures).row("library", load.name))
            print(rows[-1], flush=True)
    return rows


def table(rows: Sequence[str], images: int) -> str:
    """The report."""
    head = "| asked | answered by | p50 | p95 | queries/s | failed |\n"
    head += "| --- | --- | --- | --- | --- | --- |"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{images:,} pictures, {cores} cores, packaged model.\n\n{head}\n" + "\n".join(rows) + "\n"
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--server", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--gallery", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.server:
        serve(given.server, given.gallery)
        return
    with tempfile.TemporaryDirectory() as folder:
        gallery, reference = make_gallery(Path(folder), given.images)
        pictures = list(variants(reference))
        text = table(measure(gallery, pictures, given.requests), given.images)
    if given.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
