"""Index throughput from 1-megapixel JPEGs, beside the model's and the decoder's own speed.

    python benchmarks/index_throughput.py [--images 600] [--model mini] [--threads 2] [--write]
    python benchmarks/index_throughput.py --stand-in 10     # no bundle: a model of 10 ms a picture

The pictures are generated: shapes on gradients, with noise of several scales, so that they take as
long to decode as photographs. **End to end** is `Gallery.index` into a new gallery. **Pure model**
encodes prepared pixels and does nothing else; **pure decode** is the reading stage (read, hash,
decode, prepare, thumbnail, signature) on as many threads, and nothing else. On cores that both
share, the two in a row take 1 / (1/model + 1/decode) images/s: what the pipeline stays below that
is its loss. Peak memory is that of the indexing process, model included. `--write` puts the table
into `benchmarks/results/index_throughput.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bare_model import BareModel
from PIL import Image, ImageDraw

from composir import Gallery, load_model
from composir.gallery.known import ContentSet
from composir.gallery.reader import FileReader, NewPicture
from composir.gallery.rows import Place
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.types import FloatArray, PixelArray

RESULTS = Path(__file__).parent / "results" / "index_throughput.md"
SIZE = (1200, 900)
BATCH = 32


class StandIn(BareModel):
    """Keeps one core busy for a while for each picture; random vectors."""

    name = fingerprint = "stand-in"
    dimension = 384
    image_spec = PreprocessSpec(size=260)
    default_composer = "sum"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._random = np.random.default_rng(0)

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Compute for as long as a model would."""
        work = np.ones((512, 512), dtype=np.float32)
        begun = time.thread_time()
        while time.thread_time() - begun < self._seconds * len(pixels):
            work = work @ work / np.float32(512)
        rows = self._random.standard_normal((len(pixels), self.dimension), dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Prepare, then as `encode_pixels`."""
        return self.encode_pixels(np.stack([self.image_spec.apply(image) for image in images]))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Never asked for."""
        raise NotImplementedError("indexing encodes no texts")


@dataclass(frozen=True)
class Outcome:
    """Images a second, and bytes."""

    end_to_end: float
    model: float
    decode: float
    peak_bytes: int

    @property
    def ideal(self) -> float:
        """Both stages, one after the other on the same cores."""
        return 1 / (1 / self.model + 1 / self.decode)


def paint(seed: int) -> Image.Image:
    """A picture of 1.08 megapixels that compresses like a photograph (some 250 KB)."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize(SIZE, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(25):
        x, y, w, h = random.random(4) * [SIZE[0], SIZE[1], 300, 300]
        colour = tuple(int(part) for part in random.integers(0, 255, 3))
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), colour)
    pixels = np.asarray(picture, dtype=np.int16)
    for scale, strength in ((1, 6), (4, 10)):
        shape = (SIZE[1] // scale, SIZE[0] // scale)
        grain = random.integers(-strength, strength, shape, dtype=np.int16)
        pixels = pixels + np.kron(grain, np.ones((scale, scale), np.int16))[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def make_pictures(folder: Path, count: int) -> list[Place]:
    """Write the pictures; every 50th painting is new, the others differ in their metadata bytes."""
    folder.mkdir()
    places: list[Place] = []
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if number < 50:
            paint(number).save(path, quality=88)
        else:  # another comment makes other bytes, so nothing is taken for a copy
            data = places[number % 50].path.read_bytes()
            comment = f"{number:08}".encode()
            path.write_bytes(data[:2] + b"\xff\xfe\x00\x0a" + comment + data[2:])
        status = path.stat()
        places.append(Place(path, "", status.st_size, status.st_mtime_ns))
    return places


def images_per_second(work: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def measure(model: EmbeddingModel, folder: Path, count: int, threads: int) -> Outcome:
    """All figures; end to end first, so that the peak memory is its own."""
    places = make_pictures(folder / "pictures", count)
    gallery = Gallery.create_or_open(folder / "gallery", model)
    model.encode_pixels(
        np.zeros((BATCH, model.image_spec.size, model.image_spec.size, 3), np.uint8)
    )
    end_to_end = images_per_second(
        lambda: gallery.index([folder / "pictures"], batch_size=BATCH), count
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    sample = places[: min(count, 300)]
    decode = images_per_second(lambda: _decode(model, sample, threads), len(sample))
    pixels = _decode(model, sample[:BATCH], threads)
    rounds = max(1, len(sample) // len(pixels))
    pure = images_per_second(
        lambda: [model.encode_pixels(pixels) for _ in range(rounds)], rounds * len(pixels)
    )
    return Outcome(end_to_end, pure, decode, peak)


def _decode(model: EmbeddingModel, places: list[Place], threads: int) -> PixelArray:
    reader = FileReader(model.image_spec, ContentSet(np.empty(0, dtype=np.uint64)))
    with ThreadPoolExecutor(threads) as pool:
        files = [f for f in pool.map(reader.read, places) if isinstance(f, NewPicture)]
    return np.stack([file.pixels for file in files[:BATCH]])


def table(outcome: Outcome, model: str, count: int, threads: int) -> str:
    loss = 100 * (1 - outcome.end_to_end / outcome.ideal)
    return "\n".join(
        [
            f"{count:,} JPEGs of {SIZE[0]} x {SIZE[1]} pixels, model `{model}`, {threads} threads, "
            f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
            "",
            "| what | figure | goal |",
            "| --- | ---: | --- |",
            f"| end to end | {outcome.end_to_end:.1f} images/s | ≥ 40 images/s |",
            f"| pure model | {outcome.model:.1f} images/s | |",
            f"| pure decode | {outcome.decode:.1f} images/s | |",
            f"| both in a row, without a pipeline's loss | {outcome.ideal:.1f} images/s | |",
            f"| loss of the pipeline | {loss:.1f} % | |",
            f"| peak memory | {outcome.peak_bytes / 2**20:.0f} MB | ≤ 1024 MB |",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--stand-in", type=float, metavar="MS", help="instead of a bundle")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the table into results/")
    options = parser.parse_args()
    model: EmbeddingModel
    if options.stand_in is None:
        model = load_model(options.model, threads=options.threads)
    else:
        model = StandIn(options.stand_in / 1e3)
    with tempfile.TemporaryDirectory() as folder:
        outcome = measure(model, Path(folder), options.images, options.threads)
    report = table(outcome, model.name, options.images, options.threads)
    print(report)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(f"# Index throughput\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
