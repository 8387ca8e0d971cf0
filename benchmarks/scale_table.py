"""What many images take: bytes, hours and milliseconds, computed from rates that were measured.

    python benchmarks/scale_table.py [--dimension 512] [--images-per-second 42.6] [--cores 2]
        [--megabytes-per-second 17300] [--thumbnail 8192] [--write]

Nothing is measured here. `RATES` are figures of other scripts of this folder, each named with its
source; what was never measured at a size is marked as computed. `--write` puts the table into
docs/scale.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
BEGIN, END = "<!-- scale_table.py: begin -->\n", "<!-- end -->\n"
ROW = 700  # bytes of a row without vector and thumbnail: exact_search.py's gallery, on the disk
CODED_FROM, EXACT_LIMIT = 20_000, 1_000_000
MACHINE_MEMORY, MACHINE_CORES = 64e9, 16


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one machine.

    Attributes:
        dimension: D, numbers in a vector.
        images_per_second: Reading and encoding, on `cores` cores (index_throughput.py).
        cores: Of the machine measured.
        bytes_per_second: Of a pass over memory, on all cores (results/exact_search.md: 52 MB of
            codes scored and picked from in 3.0 ms, on a faster machine than the images were read).
        thumbnail: Bytes of one, on average.
    """

    dimension: int = 512
    images_per_second: float = 42.6
    cores: int = 2
    bytes_per_second: float = 17.3e9
    thumbnail: int = 8192

    def disk(self, images: int) -> float:
        """Of a gallery: rows, thumbnails, the matrix and its codes, as far as they are made."""
        vectors = 2 * self.dimension
        if images <= EXACT_LIMIT:
            vectors += 4 * self.dimension
            vectors += self.dimension + 8 if images > CODED_FROM else 0
        return float(images) * (ROW + self.thumbnail + vectors)

    def memory(self, images: int) -> float:
        """What exact search should find in memory: the matrix, or its codes."""
        each = 4 * self.dimension if images <= CODED_FROM else self.dimension + 8
        return float(images) * each

    def exact_ms(self, images: int) -> float:
        """A pass over that memory."""
        return 1e3 * self.memory(images) / self.bytes_per_second

    def hours(self, images: int, cores: int) -> float:
        """Of indexing, if decoding and encoding keep all cores busy."""
        return images / (self.images_per_second * cores / self.cores) / 3600

    def machines(self, images: int) -> int:
        """Of 16 cores and 64 GB, to index within a day and to hold all codes in memory."""
        by_day = self.hours(images, MACHINE_CORES) / 24
        by_memory = self.memory(images) / (0.7 * MACHINE_MEMORY)
        return max(1, -int(-max(by_day, by_memory) // 1))


def way(images: int) -> tuple[str, str]:
    """How, and what gives out first."""
    if images <= EXACT_LIMIT:
        return "gallery, exact", "–"
    if images <= 10_000_000:
        return "gallery with its index, or a store", "time to index"
    if images <= 100_000_000:
        return "store on one large machine", "memory of one machine, time to index"
    return "store on several machines", "time to index: encode on many machines, or on GPUs"


def table(rates: Rates) -> str:
    lines = [
        f"Computed by `python benchmarks/scale_table.py` for D = {rates.dimension} from "
        f"{rates.images_per_second:g} images/s on {rates.cores} cores "
        "(`results/index_throughput.md`),",
        f"{rates.bytes_per_second / 1e9:g} GB/s of a pass over memory on a faster machine "
        "(`results/exact_search.md`), "
        f"{rates.thumbnail:,} bytes a thumbnail and {ROW} a row. Searches of ten million",
        "rows were measured through the index (`results/ten_million.md`), index runs of a "
        "million pictures (`results/many_files.md`). A machine has 16 cores and 64 GB; machines "
        "are those that index within a day and hold the codes.",
        "",
        "| images | way | disk | exact pass: memory | and time | index on 2 cores "
        "| machines | gives out first |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for images in SIZES:
        how, first = way(images)
        lines.append(
            f"| {images:,} | {how} | {amount(rates.disk(images))} "
            f"| {amount(rates.memory(images))} | {span(rates.exact_ms(images) / 1e3)} "
            f"| {span(3600 * rates.hours(images, 2))} | {rates.machines(images):,} | {first} |"
        )
    return "\n".join([*lines, ""])


def amount(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError("the last unit returns")


def span(seconds: float) -> str:
    for limit, unit, each in (
        (1, "ms", 1e-3), (90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)
    ):  # fmt: skip
        if seconds < limit:
            return f"{seconds / each:.3g} {unit}"
    return f"{seconds / 86_400:,.0f} days"


def main() -> None:
    defaults = Rates()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimension", type=int, default=defaults.dimension)
    parser.add_argument("--images-per-second", type=float, default=defaults.images_per_second)
    parser.add_argument("--cores", type=int, default=defaults.cores)
    parser.add_argument(
        "--megabytes-per-second", type=float, default=defaults.bytes_per_second / 1e6
    )
    parser.add_argument("--thumbnail", type=int, default=defaults.thumbnail)
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    given = parser.parse_args()
    rates = Rates(
        given.dimension,
        given.images_per_second,
        given.cores,
        1e6 * given.megabytes_per_second,
        given.thumbnail,
    )
    made = table(rates)
    print(made)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
