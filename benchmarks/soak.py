"""Whether a server that answers for long stays as it is: no error, and memory that stops growing.

    python benchmarks/soak.py [--requests 10000] [--images 10000] [--write]

A server with the packaged model answers words and uploads of one megapixel from eight clients, in
rounds of a thousand. Memory may grow while caches fill, in the first rounds; the last half must not
use more than `SLACK` beyond what the server had after the first thousand. Exits with 1 otherwise.
`--write` puts the table into `benchmarks/results/soak.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from serve import LOADS, ask, running, variants
from start_up import make_gallery

RESULTS = Path(__file__).parent / "results" / "soak.md"
ROUND = 1_000
SLACK = 1.1
"""Times the memory after the first round: the allocator keeps some of what is freed."""
_MIX = ((LOADS[1], 900), (LOADS[3], 100))


@dataclass(frozen=True)
class State:
    """How the server was after so many requests.

    Attributes:
        requests: So far.
        problems: Codes of those that failed.
        memory: Bytes, resident.
        seconds: Since the begin.
    """

    requests: int
    problems: Counter[str]
    memory: float
    seconds: float

    def row(self) -> str:
        """One line of the table."""
        memory = f"{self.memory / 2**20:.0f} MiB"
        return f"| {self.requests:,} | {self.problems.total()} | {memory} | {self.seconds:.0f} s |"


def soak(gallery: Path, pictures: Sequence[bytes], requests: int) -> Iterator[State]:
    """Ask round after round."""
    begun, problems = time.perf_counter(), Counter[str]()
    with running("composir", gallery) as address:
        for done in range(ROUND, requests + 1, ROUND):
            for load, count in _MIX:
                problems += asyncio.run(ask(address, load, count, pictures)).problems
            yield State(done, problems, resident(address), time.perf_counter() - begun)


def resident(address: str) -> float:
    """Bytes of memory that the server says it has."""
    text = httpx.get(f"{address}/metrics", trust_env=False).text
    found = re.search(r"^process_resident_memory_bytes (\S+)$", text, flags=re.MULTILINE)
    return float(found[1]) if found else float("nan")


def faults(states: Sequence[State]) -> list[str]:
    """What is wrong; nothing where all is well."""
    problems, first = states[-1].problems, states[0].memory
    most = max(state.memory for state in states[len(states) // 2 :])
    told = [f"{count} requests failed: {code}" for code, count in problems.items()]
    if not most <= SLACK * first:
        told.append(f"memory grew from {first / 2**20:.0f} to {most / 2**20:.0f} MiB")
    return told


def main() -> None:
    """Read the command line and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.requests < 2 * ROUND:
        parser.error(f"--requests: at least {2 * ROUND:,}, to compare with the first {ROUND:,}")
    lines = ["| requests | failed | memory | after |", "| --- | --- | --- | --- |"]
    states: list[State] = []
    with tempfile.TemporaryDirectory() as folder:
        gallery, reference = make_gallery(Path(folder), given.images)
        for state in soak(gallery, list(variants(reference)), given.requests):
            states.append(state)
            lines.append(state.row())
            print(lines[-1], flush=True)
    told = faults(states)
    print("; ".join(told) or "no request failed, and memory stayed flat after the first round")
    if given.write:
        head = f"{given.images:,} pictures, packaged model, 8 clients.\n\n"
        RESULTS.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
