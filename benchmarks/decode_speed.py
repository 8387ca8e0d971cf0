"""How fast pictures are decoded: `read_image` beside what one would write without it.

    python benchmarks/decode_speed.py [--side 260] [--pictures 60] [--write]

Generates JPEGs of 1 and 12 megapixels, decodes them to model input of the given side with one and
two threads, in turns, and prints pictures a second and CPU milliseconds a picture (the steadier
figure on a busy machine), with ratios. Both ways end in the same square of uint8; the naive one is
`Image.open(path).convert("RGB").resize(...)`; "decode" is `read_image` alone. `--write` puts the
table into `benchmarks/results/decode_speed.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageChops, __version__

from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.types import PixelArray

SIZES = {"1 MP": (1156, 866), "12 MP": (4032, 3024)}
ROUNDS = 5
RESULTS = Path(__file__).parent / "results" / "decode_speed.md"


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Soft shapes and some grain: about as many bytes of JPEG as a photograph."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 236, (height // 64, width // 64, 3), dtype=np.uint8)
    shapes = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = Image.fromarray(random.integers(0, 20, (height, width, 3), dtype=np.uint8))
    return ImageChops.add(shapes, grain)


def generate(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    paths = [folder / f"{size[0]}-{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        photo(*size, seed=number).save(path, quality=85)
    return paths


def naive(side: int) -> Callable[[Path], PixelArray]:
    def decode(path: Path) -> PixelArray:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))

    return decode


def ours(side: int) -> Callable[[Path], PixelArray]:
    spec = PreprocessSpec(size=side, fit="squash")
    return lambda path: spec.apply(read_image(path, min_side=2 * side).rgb)


def decode_only(side: int) -> Callable[[Path], object]:
    return lambda path: read_image(path, min_side=2 * side)


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one way of decoding."""

    per_second: float
    cpu_ms: float


def measure(decode: Callable[[Path], object], paths: Sequence[Path], threads: int) -> Speed:
    start, cpu_start = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(decode, paths):
            pass
    cpu = time.process_time() - cpu_start
    return Speed(len(paths) / (time.perf_counter() - start), 1000 * cpu / len(paths))


def compare(paths: Sequence[Path], side: int, threads: int) -> list[Speed]:
    """Medians over rounds taken in turns, so that a busy machine slows all alike."""
    ways = (naive(side), ours(side), decode_only(side))
    rounds = [[measure(way, paths, threads) for way in ways] for _ in range(ROUNDS)]
    return [
        Speed(median(s.per_second for s in column), median(s.cpu_ms for s in column))
        for column in zip(*rounds, strict=True)
    ]


def table(side: int, pictures: int) -> Iterator[str]:
    yield (
        f"Python {platform.python_version()}, Pillow {__version__}, {os.cpu_count()} CPUs, "
        f"{platform.machine()}, input {side} px, median of {ROUNDS} rounds"
    )
    columns = f"{'naive':>9}{'ours':>9}{'ratio':>8}{'decode':>9} "
    yield f"{'':15}{'pictures a second':^36}{'CPU milliseconds a picture':^36}".rstrip()
    yield f"{'picture':8}{'threads':7}{columns}{columns}".rstrip()
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            count = max(4, pictures * SIZES["1 MP"][0] ** 2 // size[0] ** 2)
            paths = generate(Path(folder), size, count)
            for threads in (1, 2):
                slow, fast, decode = compare(paths, side, threads)
                yield (
                    f"{name:8}{threads:7}{slow.per_second:9.1f}{fast.per_second:9.1f}"
                    f"{fast.per_second / slow.per_second:7.2f}x{decode.per_second:9.1f} "
                    f"{slow.cpu_ms:9.1f}{fast.cpu_ms:9.1f}{slow.cpu_ms / fast.cpu_ms:7.2f}x"
                    f"{decode.cpu_ms:9.1f}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how fast pictures are decoded.")
    parser.add_argument("--side", type=int, default=260, help="side of the model input, pixels")
    parser.add_argument("--pictures", type=int, default=60, help="JPEGs of 1 megapixel")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    lines = []
    for line in table(arguments.side, arguments.pictures):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        command = "python benchmarks/decode_speed.py --write"
        RESULTS.write_text(f"# Decoding\n`{command}`\n```\n" + "\n".join(lines) + "\n```\n")


if __name__ == "__main__":
    main()
