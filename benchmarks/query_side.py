"""What a query side costs: milliseconds a picture at one thread, operations, bytes.

    python benchmarks/query_side.py COMPOSER [--symmetric COMPOSER] [--model mini] [--write]

One picture at a time, from preprocessed pixels to tokens, all in the same run, interleaved: the
composer's query graph, and the peer, the gallery's own encoder on which a symmetric query side
stands (with the symmetric composer's graph after it, if one is given). Goals of the asymmetric
side: 40 ms a picture, half of the peer's operations and half of its time.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from composir.compose.trained import ComposerFolder
from composir.model import Model, load_model
from composir.model.sessions import open_session

RESULTS = Path(__file__).parent / "results" / "query_side.md"
Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Side:
    """One query side: how to run it, and what it is said to cost."""

    name: str
    run: Run
    flops: int | None
    bytes: int | None
    parameters: int | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("composer", type=Path)
    parser.add_argument("--symmetric", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    model = load_model(asked.model, threads=1)
    sides = [gallery_side(model, None if asked.symmetric is None else asked.symmetric)]
    sides.append(light_side(asked.composer))
    report = table(sides, [timed(sides, asked.runs)[side.name] for side in sides], asked.runs)
    print(report)
    if asked.write:
        RESULTS.write_text(f"# Query side\n\n{report}", encoding="utf-8")


def gallery_side(model: Model, symmetric: Path | None) -> Side:
    """The gallery's encoder, and the symmetric composer's graph on its patch tokens."""
    size = model.image_spec.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    manifest = model.manifest
    image = open_session(model.bundle.file(manifest.image.graph), 1)
    costs = manifest.efficiency
    flops, size_bytes = costs["query_flops"], costs["query_bytes"]
    parameters = costs["query_parameters"]
    name = "peer: the gallery's encoder"
    learner = None
    if symmetric is not None:
        folder = ComposerFolder.load(symmetric)
        learner = open_session(folder.file(folder.manifest.graph), 1)
        own = folder.manifest.efficiency
        flops += own.query_flops or 0
        size_bytes += own.query_bytes or 0
        parameters += own.query_parameters or 0
        name = "peer: symmetric, the gallery's encoder and its token learner"

    def run() -> object:
        vector, patches = image.run(["vector", "patch_tokens"], {"pixels": pixels})
        feeds = {"patch_tokens": patches, "vector": vector}
        if learner is None:
            return vector
        wanted = {item.name for item in learner.get_inputs()}
        return learner.run(["tokens"], {k: v for k, v in feeds.items() if k in wanted})

    return Side(name, run, int(flops), int(size_bytes), int(parameters))


def light_side(composer: Path) -> Side:
    """An asymmetric composer's query graph."""
    folder = ComposerFolder.load(composer)
    made = folder.manifest
    if made.preprocess is None:
        raise SystemExit(f"{composer} takes {made.input}, not pixels: it has no light query side")
    size = made.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    session = open_session(folder.file(made.graph), 1)
    costs = made.efficiency
    return Side(
        f"{made.name}, {size} px, {made.tokens} tokens",
        lambda: session.run(["tokens"], {"pixels": pixels}),
        costs.query_flops,
        costs.query_bytes,
        costs.query_parameters,
    )


def timed(sides: list[Side], runs: int) -> dict[str, list[float]]:
    """Milliseconds of every run, the sides taking turns."""
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(runs + 5):
        for side in sides:
            start = time.perf_counter()
            side.run()
            times[side.name].append((time.perf_counter() - start) * 1e3)
    return {name: each[5:] for name, each in times.items()}


def table(sides: list[Side], times: list[list[float]], runs: int) -> str:
    peer, peer_flops = median(times[0]), sides[0].flops or 1
    lines = [
        f"One picture, one thread, {runs} runs, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}.",
        "",
        "| query side | best | median | of the peer | GFLOP | of the peer | parameters | bytes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for side, each in zip(sides, times, strict=True):
        flops = side.flops or 0
        lines.append(
            f"| {side.name} | {min(each):.1f} ms | {median(each):.1f} ms | "
            f"{median(each) / peer:.2f} | {flops / 1e9:.2f} | {flops / peer_flops:.2f} | "
            f"{(side.parameters or 0) / 1e6:.1f} M | {(side.bytes or 0) / 1e6:.1f} MB |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
