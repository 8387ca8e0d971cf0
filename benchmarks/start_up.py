"""How long a user waits: `import composir`, and `composir search` from a cold start.

    python benchmarks/start_up.py [--runs 9] [--images 10000] [--write]

Every figure is the wall time of a fresh process, files in the operating system's cache. The peer in
the same run is the least that any search could cost: an interpreter that imports the runtime and
the store and does nothing. `--write` puts the table into `benchmarks/results/start_up.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from bare_model import BareModel
from PIL import Image

from composir import Gallery, load_model
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.types import FloatArray, PixelArray

PEER = "import onnxruntime, lance"
RESULTS = Path(__file__).parent / "results" / "start_up.md"


class RandomVectors(BareModel):
    """Plays a model's gallery side with random vectors: fills a gallery in seconds."""

    def __init__(self, model: EmbeddingModel) -> None:
        self.name = model.name
        self.fingerprint = model.fingerprint
        self.dimension = model.dimension
        self.image_spec = PreprocessSpec(size=8, fit="squash")
        self.default_composer = model.default_composer
        self.composer_settings = model.composer_settings
        self.confidence_settings = model.confidence_settings
        self.mean_image = model.mean_image
        self.spread = model.spread
        self.sentence = model.sentence
        self._random = np.random.default_rng(0)

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        """Random unit vectors, one a picture."""
        rows = self._random.standard_normal((len(pixels), self.dimension)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Random unit vectors, one a picture."""
        return self.encode_pixels(np.stack([self.image_spec.apply(image) for image in images]))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Never asked for."""
        raise NotImplementedError("indexing encodes no texts")


@dataclass(frozen=True)
class Timing:
    """Wall times of fresh processes, seconds."""

    name: str
    seconds: list[float]
    goal: float | None = None

    def row(self, peer: float) -> str:
        """One line of the report, with the ratio to the peer's median."""
        goal = f"≤ {self.goal:.2f} s" if self.goal else ""
        middle = median(self.seconds)
        return (
            f"| {self.name} | {min(self.seconds):.3f} s | {middle:.3f} s | {middle / peer:.2f} "
            f"| {goal} |"
        )


def wall(command: list[str], runs: int) -> list[float]:
    """Run a command a few times, after one run that warms the file cache."""
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def import_seconds(runs: int) -> list[float]:
    """Time of the import statement alone, without the interpreter's own start."""
    code = "import time; t = time.perf_counter(); import composir; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    outputs = [subprocess.run(command, check=True, capture_output=True) for _ in range(runs + 1)]
    return [float(output.stdout) for output in outputs[1:]]


def make_gallery(folder: Path, images: int) -> tuple[Path, Path]:
    """A gallery of tiny generated pictures; also one reference image of 1 megapixel."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    random = np.random.default_rng(1)
    for number in range(images):
        pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number:06}.jpg")
    gallery = folder / "gallery"
    Gallery.create_or_open(gallery, RandomVectors(load_model())).index([pictures], batch_size=256)
    reference = folder / "reference.jpg"
    coarse = random.integers(0, 255, (15, 20, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((1200, 900)).save(reference)
    return gallery, reference


def timings(gallery: Path, reference: Path, runs: int) -> list[Timing]:
    """Everything that is measured, the peer first."""
    python = [sys.executable, "-c"]
    search = [str(Path(sys.executable).with_name("composir")), "search"]
    search += ["--gallery", str(gallery), "--json"]
    by_image = [*search, "--image", str(reference)]
    return [
        Timing(f"peer: `python -c '{PEER}'`", wall([*python, PEER], runs)),
        Timing("`python -c pass`", wall([*python, "pass"], runs)),
        Timing("`python -c 'import composir'`", wall([*python, "import composir"], runs)),
        Timing("`import composir` alone", import_seconds(runs), 0.15),
        Timing("`composir --help`", wall([search[0], "--help"], runs)),
        Timing("`composir search WORDS`", wall([*search, "a red mug"], runs), 1.2),
        Timing("`composir search --image FILE`", wall(by_image, runs), 1.2),
        Timing("`composir search --image FILE WORDS`", wall([*by_image, "in red"], runs), 1.2),
    ]


def table(measured: list[Timing], images: int, runs: int) -> str:
    peer = median(measured[0].seconds)
    head = [
        "| what | best | median | of the peer | goal |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    note = f"Fresh processes, {runs} runs each, a gallery of {images:,} pictures."
    return "\n".join([note, "", *head, *(timing.row(peer) for timing in measured), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    os.environ.pop("COMPOSIR_GALLERY", None)
    with tempfile.TemporaryDirectory() as folder:
        gallery, reference = make_gallery(Path(folder), options.images)
        measured = timings(gallery, reference, options.runs)
    report = table(measured, options.images, options.runs)
    print(report)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(f"# Start-up\n\n{report}", encoding="utf-8")


if __name__ == "__main__":
    main()
